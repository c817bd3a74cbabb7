// One channel: its series or ticker, its status and its listeners.
// It knows no commands and no connection; stream.ts passes it the messages.

import { type Change, EMPTY, foldKline, foldSnapshot, foldTicker, newestClosed, type Series } from "./fold.ts";
import type {
  ChannelError,
  ChannelState,
  Kline,
  KlineSnapshot,
  KlineUpdate,
  StaleReason,
  Ticker,
  TickerSnapshot,
} from "./types.ts";

/** `waiting`: no snapshot yet on this connection; `failed`: see `error`. */
export interface ChannelStatus {
  readonly state: ChannelState | "waiting" | "failed";
  readonly reason?: StaleReason;
  readonly since?: number;
  readonly error?: ChannelError;
}

export interface StatusEvent {
  readonly kind: "status";
  readonly status: ChannelStatus;
}

export type KlineEvent =
  /** Draw everything again. */
  | { readonly kind: "reset"; readonly series: Series }
  /** Bars in order, none older than what was shown last. */
  | { readonly kind: "klines"; readonly series: Series; readonly klines: readonly Kline[] }
  | StatusEvent;

export type TickerEvent = { readonly kind: "ticker"; readonly ticker: Ticker } | StatusEvent;

export type ChannelEvent = KlineEvent | TickerEvent;
export type Listener = (event: ChannelEvent) => void;

const WAITING: ChannelStatus = { state: "waiting" };

export class Channel {
  readonly name: string;
  readonly listeners = new Set<Listener>();
  /** Closed klines to subscribe with. */
  history: number;
  /** The gateway's number for it on this connection. */
  number: number | null = null;
  /** Closed klines that were requested with the current series. */
  seriesHistory = 0;
  /** Refusals in a row that ask to try again. */
  failures = 0;
  readonly #isKline: boolean;
  readonly #maxKlines: number;
  #status = WAITING;
  #lastMessageAt = 0;
  #derived = false;
  #series = EMPTY;
  #ticker: Ticker | null = null;

  constructor(name: string, history: number, keep: number) {
    this.name = name;
    this.history = history;
    this.#isKline = name.startsWith("kline:");
    this.#maxKlines = keep;
  }

  get status(): ChannelStatus {
    return this.#status;
  }

  /** When its last message arrived (wall clock, ms); 0: there was none. */
  get lastMessageAt(): number {
    return this.#lastMessageAt;
  }

  /** The resume cursor: the newest closed kline before the disconnect. A channel in sync has nothing to resume. */
  get cursor(): number | null {
    return this.#status.state === "waiting" ? (newestClosed(this.#series)?.openTime ?? null) : null;
  }

  /** Made of shorter klines: the source has none of this interval. */
  get derived(): boolean {
    return this.#derived;
  }

  get series(): Series {
    return this.#series;
  }

  /** Starts with a cached series, as after a disconnect. */
  load(series: Series, seriesHistory: number, lastMessageAt: number): void {
    this.seriesHistory = seriesHistory;
    this.#series = series;
    this.#lastMessageAt = lastMessageAt;
  }

  /** Klines from elsewhere; they count while the gateway has sent none on this connection. `stale`: they may be old. */
  offer({ closed, forming }: Series, requested: number, stale: boolean): void {
    if (this.#status.state !== "waiting") return;
    const [first, last] = [closed[0] ?? forming, newestClosed(this.#series)];
    const recovered = first != null && last !== null && first.openTime <= last.closeTime + 1;
    if (!recovered) this.seriesHistory = requested;
    if (!stale || this.#lastMessageAt === 0) this.#lastMessageAt = Date.now();
    const { series, change } = foldSnapshot(this.#series, { klines: closed, forming, recovered }, this.#maxKlines);
    this.#series = series;
    this.#emitChange(change);
  }

  snapshot(snapshot: KlineSnapshot | TickerSnapshot): void {
    this.failures = 0;
    this.seriesHistory = this.history;
    this.#lastMessageAt = Date.now();
    if ("klines" in snapshot) {
      this.#derived = snapshot.derived === true;
      const { series, change } = foldSnapshot(this.#series, snapshot, this.#maxKlines);
      this.#series = series;
      this.#emitChange(change);
    } else if (snapshot.ticker !== null) {
      this.#ticker = snapshot.ticker;
      this.#emit({ kind: "ticker", ticker: snapshot.ticker });
    }
    this.setStatus({
      state: snapshot.state,
      ...(snapshot.reason !== undefined && { reason: snapshot.reason }),
      ...(snapshot.since !== undefined && { since: snapshot.since }),
    });
  }

  update(update: KlineUpdate | Ticker): void {
    // Before its snapshot on this connection there is nothing that update could be folded into.
    if (this.#status.state === "waiting") return;
    this.#lastMessageAt = Date.now();
    if (this.#isKline) {
      const { series, change } = foldKline(this.#series, update as KlineUpdate, this.#maxKlines);
      this.#series = series;
      this.#emitChange(change);
    } else {
      this.#ticker = foldTicker(this.#ticker, update as Ticker);
      this.#emit({ kind: "ticker", ticker: this.#ticker });
    }
  }

  /** After a disconnect, or to subscribe again: the series stays, and listeners get the status only. */
  setWaiting(): void {
    this.number = null;
    if (this.#status !== WAITING) this.setStatus(WAITING);
  }

  setStatus(status: ChannelStatus): void {
    this.#status = status;
    this.#emit({ kind: "status", status });
  }

  /** Brings a late listener to where the others are. */
  replay(listener: Listener): void {
    if (this.#lastMessageAt === 0) return;
    if (this.#isKline) listener({ kind: "reset", series: this.#series });
    else if (this.#ticker !== null) listener({ kind: "ticker", ticker: this.#ticker });
    listener({ kind: "status", status: this.#status });
  }

  #emitChange(change: Change): void {
    if (change.kind === "reset") this.#emit({ kind: "reset", series: this.#series });
    else if (change.kind === "klines") this.#emit({ kind: "klines", series: this.#series, klines: change.klines });
  }

  #emit(event: ChannelEvent): void {
    for (const listener of [...this.listeners]) listener(event);
  }
}
