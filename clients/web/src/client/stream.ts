// Subscriptions over one connection: which channels have listeners, and resuming them after a disconnect.
// channel.ts owns what a channel holds, commands.ts what is sent, connection.ts the connection.

import { backoffMs } from "./backoff.ts";
import type { CachedSeries } from "./cache.ts";
import { Channel, type ChannelStatus, type KlineEvent, type Listener, type TickerEvent } from "./channel.ts";
import { Commands, type Rates } from "./commands.ts";
import { Connection, type ConnectionPhase, type SocketConstructor } from "./connection.ts";
import { Demand } from "./demand.ts";
import { allKlines, type Series, seriesOf } from "./fold.ts";
import type { KlinesAnswer } from "./history.ts";
import { StreamFacts, type StreamInfo } from "./stream-info.ts";
import type { ChannelError, ClientCommand, ErrorCode, Hello, ServerMessage, Status, Subscribed } from "./types.ts";

export interface Subscription {
  readonly channel: string;
  /** When the channel's last message arrived (wall clock, ms); 0: there was none. */
  readonly lastMessageAt: number;
  readonly status: ChannelStatus;
  /** Its klines are aggregated from shorter ones: the source has none of this interval. */
  readonly derived: boolean;
  close(): void;
}

export interface StreamOptions extends Rates {
  /** `ws:` or `wss:`; a function is called at each connection. */
  readonly url: string | (() => string);
  /** Default: the environment's own. */
  readonly WebSocket?: SocketConstructor;
  /** Called at each connection. */
  readonly token?: () => string | null;
  /** Most closed klines to keep per channel. */
  readonly maxKlines?: number;
  readonly store?: SeriesStore;
}

/** Where a series is stored while it has no listener. */
export interface SeriesStore {
  /** What a new subscription with that much history can continue from. */
  load(symbol: string, interval: string, history: number): CachedSeries | null;
  save(symbol: string, interval: string, series: CachedSeries): void;
}

const DEFAULT_MAX_KLINES = 5_000;
/** Answers after which a channel is asked for again. */
const TEMPORARY: ReadonlySet<ErrorCode> = new Set(["UNAVAILABLE", "RATE_LIMIT"]);

export class KlineStream {
  readonly #connection: Connection;
  readonly #demand: Demand;
  readonly #commands: Commands;
  readonly #maxKlines: number;
  readonly #store: SeriesStore | undefined;
  readonly #channels = new Map<string, Channel>();
  readonly #byNumber = new Map<number, Channel>();
  readonly #listeners = new Set<(info: StreamInfo) => void>();
  readonly #retries = new Set<ReturnType<typeof setTimeout>>();
  readonly #facts = new StreamFacts();

  constructor({ url, WebSocket, maxKlines = DEFAULT_MAX_KLINES, store, token, ...rates }: StreamOptions) {
    this.#maxKlines = maxKlines;
    this.#store = store;
    const sink = {
      open: () => this.#connection.phase === "open",
      send: (command: ClientCommand) => this.#connection.send(command),
    };
    this.#commands = new Commands(sink, rates);
    const events = {
      opened: (hello: Hello) => this.#opened(hello),
      received: (message: ServerMessage) => this.#received(message),
      phaseChanged: (phase: ConnectionPhase) => this.#phaseChanged(phase),
      needed: () => this.#demand.needed,
    };
    this.#connection = new Connection(typeof url === "string" ? () => url : url, WebSocket, events, token);
    this.#demand = new Demand(
      () => this.#connection.open(),
      () => this.#connection.rest(),
    );
  }

  get info(): StreamInfo {
    return this.#facts.info(this.#connection);
  }

  /** Klines, with up to `history` closed ones to begin with. The listener gets the current state at once. */
  klines(symbol: string, interval: string, history: number, listener: (event: KlineEvent) => void): Subscription {
    return this.#listen(`kline:${symbol}:${interval}`, history, listener as Listener);
  }

  ticker(symbol: string, listener: (event: TickerEvent) => void): Subscription {
    return this.#listen(`ticker:${symbol}`, 0, listener as Listener);
  }

  /** The current series of a channel that has listeners and has received data. */
  current(symbol: string, interval: string): CachedSeries | null {
    const channel = this.#channels.get(`kline:${symbol}:${interval}`);
    return channel === undefined || channel.lastMessageAt === 0 ? null : cachedSeriesOf(channel);
  }

  /** The series of a channel that has listeners and has received data; the same object until it changes. */
  series(symbol: string, interval: string): Series | null {
    const channel = this.#channels.get(`kline:${symbol}:${interval}`);
    return channel === undefined || channel.lastMessageAt === 0 ? null : channel.series;
  }

  /** Whether any channel is stale. */
  get stale(): boolean {
    return [...this.#channels.values()].some(({ status }) => status.state === "stale");
  }

  /** When any channel was up to date last (wall clock, ms): at its last message, or before it went stale. 0: there was none. */
  get dataAt(): number {
    const { clockOffsetMs } = this.info;
    let newest = 0;
    for (const { lastMessageAt, status } of this.#channels.values()) {
      newest = Math.max(newest, Math.min(lastMessageAt, (status.since ?? Infinity) - clockOffsetMs));
    }
    return newest;
  }

  /**
   * Calls the listener at every change of the connection; returns a function that stops it. A listener needs the connection
   * as a subscription does; with `connect: false` it only looks on.
   */
  onConnection(listener: (info: StreamInfo) => void, { connect = true } = {}): () => void {
    if (connect) this.#demand.add();
    this.#listeners.add(listener);
    return () => {
      if (this.#listeners.delete(listener) && connect) this.#demand.remove();
    };
  }

  /** Checks the connection now (see `Connection.check`), and asks again for channels that the gateway did not serve. */
  check(): void {
    this.#connection.check();
    for (const channel of this.#channels.values()) if (channel.status.state === "failed") this.#askAgain(channel);
  }

  /**
   * Klines that came over HTTP: a channel shows them while the stream has none, and continues from them. `requested`: how many
   * closed ones were asked for.
   */
  offer({ symbol, interval, klines, stale }: KlinesAnswer, requested: number): void {
    this.#channels.get(`kline:${symbol}:${interval}`)?.offer(seriesOf(klines), requested, stale);
  }

  /** Whether a channel of this series waits for its first klines. */
  awaits(symbol: string, interval: string): boolean {
    const channel = this.#channels.get(`kline:${symbol}:${interval}`);
    return channel?.lastMessageAt === 0 && channel.status.state === "waiting";
  }

  /** Replaces the connection, for example after a new token; subscriptions continue on the new one. */
  reconnect(): void {
    if (this.#demand.needed) this.#connection.reconnect();
    else this.#connection.rest();
  }

  /** Closes the connection for good. */
  close(): void {
    this.#demand.end();
    this.#connection.close();
  }

  #listen(name: string, history: number, listener: Listener): Subscription {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      this.#demand.add();
      channel = new Channel(name, history, this.#maxKlines);
      this.#load(channel, listener);
      this.#channels.set(name, channel);
      this.#commands.subscribe(channel);
    } else {
      if (history > channel.history) {
        channel.history = history;
        this.#commands.subscribe(channel);
      }
      channel.replay(listener);
    }
    const shared = channel;
    shared.listeners.add(listener);
    return {
      channel: name,
      get lastMessageAt() {
        return shared.lastMessageAt;
      },
      get status() {
        return shared.status;
      },
      get derived() {
        return shared.derived;
      },
      close: () => {
        if (shared.listeners.delete(listener) && shared.listeners.size === 0) this.#release(shared);
      },
    };
  }

  #load(channel: Channel, listener: Listener): void {
    const [kind, symbol = "", interval = ""] = channel.name.split(":");
    const cached = kind === "kline" ? this.#store?.load(symbol, interval, channel.history) : null;
    if (cached == null) return;
    channel.load(seriesOf(cached.klines), cached.requested, cached.at);
    channel.replay(listener);
  }

  #release(channel: Channel): void {
    const [kind, symbol = "", interval = ""] = channel.name.split(":");
    if (kind === "kline" && channel.lastMessageAt > 0) this.#store?.save(symbol, interval, cachedSeriesOf(channel));
    this.#channels.delete(channel.name);
    if (channel.number !== null) this.#byNumber.delete(channel.number);
    this.#commands.unsubscribe(channel);
    this.#demand.remove();
  }

  #opened(hello: Hello): void {
    this.#facts.opened(hello);
    this.#commands.restart(this.#channels.values(), hello.limits);
    this.#emitConnection();
  }

  #phaseChanged(phase: ConnectionPhase): void {
    if (phase !== "open") {
      // Numbers are valid on one connection only.
      this.#byNumber.clear();
      this.#commands.disconnected();
      for (const timer of this.#retries) clearTimeout(timer);
      this.#retries.clear();
      for (const channel of this.#channels.values()) channel.setWaiting();
    }
    this.#emitConnection();
  }

  #received(message: ServerMessage): void {
    switch (message.op) {
      case "update":
        this.#facts.updated(message.t, message.u.length);
        for (const [number, item] of message.u) this.#byNumber.get(number)?.update(item);
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
      case "set":
        this.#facts.changed(message);
        this.#emitConnection();
        break;
      case "error":
        for (const channel of this.#answered(message.id)) {
          this.#failed(channel, { code: message.code, message: message.message });
        }
        break;
    }
  }

  #status({ channels, reason, since }: Status): void {
    for (const [number, state] of Object.entries(channels)) {
      this.#byNumber.get(Number(number))?.setStatus({
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

  /** The channels that a reply is about, without those that were released meanwhile, even if subscribed again since. */
  #answered(id: number | string | undefined): readonly Channel[] {
    return this.#commands.take(id).filter((channel) => this.#channels.get(channel.name) === channel);
  }

  #failed(channel: Channel, error: ChannelError): void {
    channel.setStatus({ state: "failed", error });
    if (!TEMPORARY.has(error.code)) return;
    const waitMs = backoffMs(channel.failures, Math.random());
    channel.failures += 1;
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      if (this.#channels.get(channel.name) === channel && channel.status.state === "failed") this.#askAgain(channel);
    }, waitMs);
    this.#retries.add(timer);
  }

  #askAgain(channel: Channel): void {
    channel.setWaiting();
    this.#commands.subscribe(channel);
  }

  #emitConnection(): void {
    const info = this.info;
    for (const listener of [...this.#listeners]) listener(info);
  }
}

function cachedSeriesOf({ series, seriesHistory, lastMessageAt, status }: Channel): CachedSeries {
  // A live channel is up to date however quiet it is.
  const at = status.state === "live" ? Date.now() : lastMessageAt;
  return { klines: allKlines(series), requested: seriesHistory, at, stale: status.state !== "live" };
}
