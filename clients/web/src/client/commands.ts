// Collects the channels to subscribe to and to leave, and sends them in as few commands as possible.
// It knows which command a reply belongs to; what the reply means is stream.ts's part.

import type { Channel } from "./channel.ts";
import type { ClientCommand, Hello } from "./types.ts";

/** Names and cursors of this many channels stay well below the gateway's limit for one message. */
const CHANNELS_PER_COMMAND = 64;

export interface CommandSink {
  readonly open: () => boolean;
  readonly send: (command: ClientCommand) => void;
}

/** What a screen can show in a second, and no more. */
const SCREEN_RATE = 30;

/** How often updates are sent. */
export interface Rates {
  /** Most updates per second and channel; `null`: no limit. Default: 30, or no limit with `latencyMs`. */
  readonly maxRate?: number | null;
  /** How long an update may wait in the gateway; up to 1 asks for each at once, where the gateway offers it. */
  readonly latencyMs?: number;
}

export class Commands {
  readonly #sink: CommandSink;
  readonly #rates: Rates;
  /** The most closed klines that the gateway sends with a snapshot. */
  #historyMax = Number.POSITIVE_INFINITY;
  readonly #toSubscribe = new Set<Channel>();
  readonly #toUnsubscribe = new Set<string>();
  /** The channels of each subscribe command that has no reply yet, by command id. */
  readonly #pending = new Map<number, readonly Channel[]>();
  #flushing = false;
  #lastId = 0;

  constructor(sink: CommandSink, rates: Rates) {
    this.#sink = sink;
    this.#rates = rates;
  }

  subscribe(channel: Channel): void {
    this.#toSubscribe.add(channel);
    this.#toUnsubscribe.delete(channel.name);
    this.#flushSoon();
  }

  unsubscribe(channel: Channel): void {
    this.#toSubscribe.delete(channel);
    this.#toUnsubscribe.add(channel.name);
    this.#flushSoon();
  }

  /** On a new connection: its rates, then all channels; nothing is left to unsubscribe from. */
  restart(channels: Iterable<Channel>, limits: Hello["limits"]): void {
    this.#historyMax = limits.history_max;
    const { latencyMs, maxRate = latencyMs === undefined ? SCREEN_RATE : null } = this.#rates;
    if (maxRate !== null) this.#sink.send({ op: "set", max_rate: maxRate });
    // A command of its own: where it is refused, the rate is in force all the same.
    if (latencyMs !== undefined && limits.latency_ms !== undefined) {
      this.#sink.send({ op: "set", latency_ms: latencyMs });
    }
    this.#toUnsubscribe.clear();
    for (const channel of channels) this.#toSubscribe.add(channel);
    this.#flush();
  }

  /** After a disconnect: replies to the commands sent so far never arrive. */
  disconnected(): void {
    this.#pending.clear();
  }

  /** The channels of the subscribe command with this id; each reply is taken once. */
  take(id: number | string | undefined): readonly Channel[] {
    const channels = this.#pending.get(id as number) ?? [];
    this.#pending.delete(id as number);
    return channels;
  }

  /** Sends all commands of one turn of the event loop together. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#sink.open()) this.#flush();
    });
  }

  #flush(): void {
    for (const channels of chunks([...this.#toUnsubscribe])) {
      this.#sink.send({ op: "unsubscribe", id: this.#nextId(), channels });
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
      for (const channels of chunks(all)) this.#send(channels, history);
    }
  }

  #send(channels: readonly Channel[], history: number): void {
    const id = this.#nextId();
    this.#pending.set(id, channels);
    const resume: Record<string, number> = {};
    for (const { name, cursor } of channels) if (cursor !== null) resume[name] = cursor;
    this.#sink.send({
      op: "subscribe",
      id,
      channels: channels.map((channel) => channel.name),
      ...(history > 0 && { history: Math.min(history, this.#historyMax) }),
      ...(Object.keys(resume).length > 0 && { resume }),
    });
  }

  #nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }
}

function* chunks<T>(all: readonly T[]): Generator<T[]> {
  for (let start = 0; start < all.length; start += CHANNELS_PER_COMMAND) {
    yield all.slice(start, start + CHANNELS_PER_COMMAND);
  }
}
