// Subscriptions over one connection: which channels are wanted, asking for them in few commands, and taking them up
// again after a reconnect without a hole. What a channel holds is channel.ts's, the connection's life link.ts's.

import type { Held } from "./cache.ts";
import { Channel, type ChannelStatus, type KlineEvent, type Listener, type TickerEvent } from "./channel.ts";
import { allBars, seriesOf } from "./fold.ts";
import { Link, type LinkPhase, type SocketConstructor } from "./link.ts";
import type {
  ChannelError,
  Hello,
  KlineNews,
  ServerMessage,
  Status,
  Subscribed,
  ThrottleReason,
  Ticker,
} from "./types.ts";

export interface Subscription {
  readonly channel: string;
  /** When the channel's last news came (wall clock, ms); 0: never. */
  readonly heardAt: number;
  readonly status: ChannelStatus;
  /** Its klines are made of shorter ones: the source has none of this interval. */
  readonly derived: boolean;
  close(): void;
}

export interface StreamOptions {
  readonly url: string;
  /** Default: the environment's own. */
  readonly WebSocket?: SocketConstructor;
  /** Asked at each connection. */
  readonly token?: () => string | null;
  /** Most closed klines held per channel. */
  readonly keep?: number;
  readonly shelf?: Shelf;
}

/** Where a series waits while nobody listens to it. */
export interface Shelf {
  /** What a new subscription with that much history can continue from. */
  seed(symbol: string, interval: string, history: number): Held | null;
  keep(symbol: string, interval: string, held: Held): void;
}

export interface StreamInfo {
  readonly phase: LinkPhase;
  /** When anything last came, heartbeats included; 0: never. */
  readonly heardAt: number;
  readonly hello: Hello | null;
  /** How often the gateway serves this connection at most. */
  readonly intervalMs: number | null;
  /** Why it is slower than the gateway's beat; `null`: it is not. */
  readonly throttled: ThrottleReason | null;
  /** The gateway's clock minus ours. */
  readonly clockOffsetMs: number;
  /** News items since the stream was opened. */
  readonly updates: number;
}

/** Names and cursors of so many channels stay well below the gateway's limit for one message. */
const CHANNELS_PER_COMMAND = 64;
const DEFAULT_KEEP = 5_000;
const RETRY_MS = 2_000;
const RETRY_MOST_MS = 30_000;

export class KlineStream {
  readonly #link: Link;
  readonly #keep: number;
  readonly #shelf: Shelf | undefined;
  readonly #channels = new Map<string, Channel>();
  readonly #byNumber = new Map<number, Channel>();
  readonly #asked = new Map<number, readonly Channel[]>();
  readonly #toSubscribe = new Set<Channel>();
  readonly #toUnsubscribe = new Set<string>();
  readonly #listeners = new Set<(info: StreamInfo) => void>();
  readonly #retries = new Set<ReturnType<typeof setTimeout>>();
  #flushing = false;
  #ids = 0;
  #hello: Hello | null = null;
  #historyMax = Number.POSITIVE_INFINITY;
  #intervalMs: number | null = null;
  #throttled: ThrottleReason | null = null;
  #clockOffsetMs = 0;
  #updates = 0;

  constructor({
    url,
    WebSocket = globalThis.WebSocket as SocketConstructor,
    keep = DEFAULT_KEEP,
    shelf,
    token,
  }: StreamOptions) {
    this.#keep = keep;
    this.#shelf = shelf;
    const events = {
      opened: (hello: Hello) => this.#opened(hello),
      received: (message: ServerMessage) => this.#received(message),
      phaseChanged: (phase: LinkPhase) => this.#phaseChanged(phase),
    };
    this.#link = new Link(url, WebSocket, events, token);
    this.#link.open();
  }

  get info(): StreamInfo {
    return {
      phase: this.#link.phase,
      heardAt: this.#link.heardAt,
      hello: this.#hello,
      intervalMs: this.#intervalMs,
      throttled: this.#throttled,
      clockOffsetMs: this.#clockOffsetMs,
      updates: this.#updates,
    };
  }

  /** Klines, with up to `history` closed ones to begin with. The listener is told at once what is held already. */
  klines(symbol: string, interval: string, history: number, listener: (event: KlineEvent) => void): Subscription {
    return this.#listen(`kline:${symbol}:${interval}`, history, listener as Listener);
  }

  ticker(symbol: string, listener: (event: TickerEvent) => void): Subscription {
    return this.#listen(`ticker:${symbol}`, 0, listener as Listener);
  }

  /** What is held of a series that somebody listens to, once something has come. */
  held(symbol: string, interval: string): Held | null {
    const channel = this.#channels.get(`kline:${symbol}:${interval}`);
    return channel === undefined || channel.heardAt === 0 ? null : heldOf(channel);
  }

  /** Whether the source of anything listened to is away. */
  get stale(): boolean {
    return [...this.#channels.values()].some(({ status }) => status.state === "stale");
  }

  /** Called at every change of the connection; returns how to stop it. */
  onLink(listener: (info: StreamInfo) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** See `Link.check`. */
  check(): void {
    this.#link.check();
  }

  /** Another connection instead of this one, as with another token; what is listened to goes on with it. */
  reconnect(): void {
    this.#link.reconnect();
  }

  /** Ends for good. */
  close(): void {
    this.#link.close();
  }

  #listen(name: string, history: number, listener: Listener): Subscription {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = new Channel(name, history, this.#keep);
      this.#seed(channel, listener);
      this.#channels.set(name, channel);
      this.#subscribeSoon(channel);
    } else {
      if (history > channel.history) {
        channel.history = history;
        this.#subscribeSoon(channel);
      }
      channel.replay(listener);
    }
    const held = channel;
    held.listeners.add(listener);
    return {
      channel: name,
      get heardAt() {
        return held.heardAt;
      },
      get status() {
        return held.status;
      },
      get derived() {
        return held.derived;
      },
      close: () => {
        if (held.listeners.delete(listener) && held.listeners.size === 0) this.#release(held);
      },
    };
  }

  #seed(channel: Channel, listener: Listener): void {
    const [kind, symbol = "", interval = ""] = channel.name.split(":");
    const held = kind === "kline" ? this.#shelf?.seed(symbol, interval, channel.history) : null;
    if (held == null) return;
    channel.seed(seriesOf(held.klines), held.asked, held.at);
    channel.replay(listener);
  }

  #release(channel: Channel): void {
    const [kind, symbol = "", interval = ""] = channel.name.split(":");
    if (kind === "kline" && channel.heardAt > 0) this.#shelf?.keep(symbol, interval, heldOf(channel));
    this.#channels.delete(channel.name);
    this.#toSubscribe.delete(channel);
    if (channel.number !== null) this.#byNumber.delete(channel.number);
    this.#toUnsubscribe.add(channel.name);
    this.#flushSoon();
  }

  #subscribeSoon(channel: Channel): void {
    this.#toSubscribe.add(channel);
    this.#toUnsubscribe.delete(channel.name);
    this.#flushSoon();
  }

  /** What is asked for in one turn of the event loop travels in as few commands as possible. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#link.phase === "open") this.#flush();
    });
  }

  #flush(): void {
    for (const channels of chunks([...this.#toUnsubscribe])) {
      this.#link.send({ op: "unsubscribe", id: this.#nextId(), channels });
    }
    const byHistory = new Map<number, Channel[]>();
    for (const channel of this.#toSubscribe) {
      const same = byHistory.get(channel.history);
      if (same === undefined) byHistory.set(channel.history, [channel]);
      else same.push(channel);
    }
    this.#toUnsubscribe.clear();
    this.#toSubscribe.clear();
    for (const [history, all] of byHistory) {
      for (const channels of chunks(all)) this.#subscribe(channels, history);
    }
  }

  #subscribe(channels: readonly Channel[], history: number): void {
    const id = this.#nextId();
    this.#asked.set(id, channels);
    const resume: Record<string, number> = {};
    for (const { name, cursor } of channels) if (cursor !== null) resume[name] = cursor;
    this.#link.send({
      op: "subscribe",
      id,
      channels: channels.map((channel) => channel.name),
      ...(history > 0 && { history: Math.min(history, this.#historyMax) }),
      ...(Object.keys(resume).length > 0 && { resume }),
    });
  }

  #opened(hello: Hello): void {
    this.#hello = hello;
    this.#historyMax = hello.limits.history_max;
    this.#intervalMs = hello.tick_ms;
    this.#throttled = null;
    this.#clockOffsetMs = hello.time - Date.now();
    this.#toUnsubscribe.clear();
    for (const channel of this.#channels.values()) this.#toSubscribe.add(channel);
    this.#flush();
    this.#tellLink();
  }

  #phaseChanged(phase: LinkPhase): void {
    if (phase !== "open") {
      // Numbers mean nothing on the next connection, and replies to this one's commands never come.
      this.#byNumber.clear();
      this.#asked.clear();
      for (const timer of this.#retries) clearTimeout(timer);
      this.#retries.clear();
      for (const channel of this.#channels.values()) channel.wait();
    }
    this.#tellLink();
  }

  #received(message: ServerMessage): void {
    switch (message.op) {
      case "update":
        this.#clockOffsetMs = message.t - Date.now();
        this.#update(message.u);
        break;
      case "snapshot":
        this.#byNumber.get(message.n)?.snapshot(message);
        break;
      case "subscribed":
        this.#subscribed(message);
        break;
      case "status":
        this.#status(message);
        break;
      case "throttle":
        this.#intervalMs = message.interval_ms;
        this.#throttled = message.reason === "recovered" ? null : message.reason;
        this.#tellLink();
        break;
      case "error":
        for (const channel of this.#answered(message.id)) {
          this.#failed(channel, { code: message.code, message: message.message });
        }
        break;
    }
  }

  #update(news: readonly (readonly [number, KlineNews | Ticker])[]): void {
    this.#updates += news.length;
    for (const [number, item] of news) this.#byNumber.get(number)?.update(item);
  }

  #status({ channels, reason, since }: Status): void {
    for (const [number, state] of Object.entries(channels)) {
      this.#byNumber.get(Number(number))?.become({
        state,
        ...(reason !== undefined && { reason }),
        ...(since !== undefined && { since }),
      });
    }
  }

  #subscribed({ id, channels }: Subscribed): void {
    for (const channel of this.#answered(id)) {
      const answer = channels[channel.name];
      if (answer === undefined) continue;
      if ("error" in answer) {
        this.#failed(channel, answer.error);
      } else {
        channel.number = answer.n;
        this.#byNumber.set(answer.n, channel);
      }
    }
  }

  /** The channels a reply is about: released ones, perhaps taken up anew since, are not. */
  #answered(id: number | string | undefined): readonly Channel[] {
    const channels = this.#asked.get(id as number) ?? [];
    this.#asked.delete(id as number);
    return channels.filter((channel) => this.#channels.get(channel.name) === channel);
  }

  #failed(channel: Channel, error: ChannelError): void {
    channel.become({ state: "failed", error });
    if (error.code !== "UNAVAILABLE") return;
    const waitMs = Math.min(RETRY_MOST_MS, RETRY_MS * 2 ** channel.failures);
    channel.failures += 1;
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      if (this.#channels.get(channel.name) !== channel) return;
      channel.wait();
      this.#subscribeSoon(channel);
    }, waitMs);
    this.#retries.add(timer);
  }

  #tellLink(): void {
    const info = this.info;
    for (const listener of [...this.#listeners]) listener(info);
  }

  #nextId(): number {
    this.#ids += 1;
    return this.#ids;
  }
}

function heldOf({ series, reach, heardAt, status }: Channel): Held {
  // A live channel is up to date however quiet it is.
  const at = status.state === "live" ? Date.now() : heardAt;
  return { klines: allBars(series), asked: reach, at, stale: status.state !== "live" };
}

function* chunks<T>(all: readonly T[]): Generator<T[]> {
  for (let start = 0; start < all.length; start += CHANNELS_PER_COMMAND) {
    yield all.slice(start, start + CHANNELS_PER_COMMAND);
  }
}
