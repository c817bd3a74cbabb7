// Which status each subscription was told last, and telling it when that has changed.

import type { ChannelStatus } from "./channel.ts";
import { type Freshness, freshness } from "./freshness.ts";
import type { KlineStream } from "./stream.ts";
import type { ChannelError, StaleReason } from "./types.ts";

/** Green, yellow or red, why, and how old the newest data is. */
export interface SeriesStatus extends Freshness {
  /** Since the last message of the series or ticker; `null`: there was none. */
  readonly dataAgeMs: number | null;
  readonly reason?: StaleReason;
  readonly error?: ChannelError;
}

/** What is watched: a subscription of the stream. */
export interface Watched {
  readonly lastMessageAt: number;
  readonly status: ChannelStatus;
}

interface Entry {
  readonly watched: Watched;
  readonly notify: (status: SeriesStatus) => void;
  /** Identifies the status that was sent last. */
  lastKey: string;
}

const CLOCK_MS = 1_000;

export class StatusWatch {
  readonly #stream: KlineStream;
  readonly #entries = new Set<Entry>();
  readonly #stopConnectionEvents: () => void;
  #clock: ReturnType<typeof setInterval> | undefined;

  constructor(stream: KlineStream) {
    this.#stream = stream;
    this.#stopConnectionEvents = stream.onConnection(() => this.check(), { connect: false });
  }

  /** Tells the status at once and at each change; returns a function that stops it. */
  add(watched: Watched, notify: (status: SeriesStatus) => void): () => void {
    const entry: Entry = { watched, notify, lastKey: "" };
    this.#entries.add(entry);
    // Ages change without events.
    this.#clock ??= setInterval(() => this.check(), CLOCK_MS);
    this.check();
    return () => {
      this.#entries.delete(entry);
      if (this.#entries.size === 0) this.#stopClock();
    };
  }

  /** Tells the statuses that have changed. */
  check(): void {
    const now = Date.now();
    const { phase, lastMessageAt } = this.#stream.info;
    for (const entry of this.#entries) {
      const { watched } = entry;
      const dataAgeMs = watched.lastMessageAt === 0 ? null : now - watched.lastMessageAt;
      const { state, reason, error } = watched.status;
      const fresh = freshness({
        connection: phase,
        channel: state,
        dataAgeMs,
        silenceMs: lastMessageAt === 0 ? 0 : now - lastMessageAt,
      });
      const key = `${fresh.level} ${fresh.why} ${reason} ${error?.code}`;
      if (key === entry.lastKey) continue;
      entry.lastKey = key;
      entry.notify({ ...fresh, dataAgeMs, ...(reason && { reason }), ...(error && { error }) });
    }
  }

  /** Stops for good. */
  close(): void {
    this.#stopConnectionEvents();
    this.#stopClock();
  }

  #stopClock(): void {
    clearInterval(this.#clock);
    this.#clock = undefined;
  }
}
