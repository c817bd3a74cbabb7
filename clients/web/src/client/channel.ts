// One channel as this client holds it: its series or ticker, how trustworthy it is, and who listens.
// It knows no commands and no connection; stream.ts tells it what came.

import { type Change, EMPTY, foldKline, foldSnapshot, foldTicker, newestClosed, type Series } from "./fold.ts";
import type {
  ChannelError,
  ChannelState,
  Kline,
  KlineNews,
  KlineSnapshot,
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
  /** Draw everything anew. */
  | { readonly kind: "reset"; readonly series: Series }
  /** Bars in order, none older than what was shown last. */
  | { readonly kind: "bars"; readonly series: Series; readonly bars: readonly Kline[] }
  | StatusEvent;

export type TickerEvent = { readonly kind: "ticker"; readonly ticker: Ticker } | StatusEvent;

export type ChannelEvent = KlineEvent | TickerEvent;
export type Listener = (event: ChannelEvent) => void;

const WAITING: ChannelStatus = { state: "waiting" };

export class Channel {
  readonly name: string;
  readonly listeners = new Set<Listener>();
  /** Closed klines asked for to begin with. */
  history: number;
  /** The gateway's number for it on this connection. */
  number: number | null = null;
  /** Closed klines that were asked for when the series held now was served. */
  reach = 0;
  /** Refusals in a row that ask to try again. */
  failures = 0;
  readonly #isKline: boolean;
  readonly #keep: number;
  #status = WAITING;
  #heardAt = 0;
  #derived = false;
  #series = EMPTY;
  #ticker: Ticker | null = null;

  constructor(name: string, history: number, keep: number) {
    this.name = name;
    this.history = history;
    this.#isKline = name.startsWith("kline:");
    this.#keep = keep;
  }

  get status(): ChannelStatus {
    return this.#status;
  }

  /** When its last news came (wall clock, ms); 0: never. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** The resume cursor: what was held before the connection broke. A channel that is served has nothing to resume. */
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

  /** Begins with what was held before, as if the connection had broken since. */
  seed(series: Series, reach: number, heardAt: number): void {
    this.reach = reach;
    this.#series = series;
    this.#heardAt = heardAt;
  }

  snapshot(snapshot: KlineSnapshot | TickerSnapshot): void {
    this.failures = 0;
    this.reach = this.history;
    this.#heardAt = Date.now();
    if ("klines" in snapshot) {
      this.#derived = snapshot.derived === true;
      const { series, change } = foldSnapshot(this.#series, snapshot, this.#keep);
      this.#series = series;
      this.#tell(change);
    } else if (snapshot.ticker !== null) {
      this.#ticker = snapshot.ticker;
      this.#emit({ kind: "ticker", ticker: snapshot.ticker });
    }
    this.become({ state: snapshot.state });
  }

  update(news: KlineNews | Ticker): void {
    // Before its snapshot on this connection there is nothing that news could be folded into.
    if (this.#status.state === "waiting") return;
    this.#heardAt = Date.now();
    if (this.#isKline) {
      const { series, change } = foldKline(this.#series, news as KlineNews, this.#keep);
      this.#series = series;
      this.#tell(change);
    } else {
      this.#ticker = foldTicker(this.#ticker, news as Ticker);
      this.#emit({ kind: "ticker", ticker: this.#ticker });
    }
  }

  /** The connection broke, or it is asked for again: what is held stays, and is news to nobody. */
  wait(): void {
    this.number = null;
    if (this.#status !== WAITING) this.become(WAITING);
  }

  become(status: ChannelStatus): void {
    this.#status = status;
    this.#emit({ kind: "status", status });
  }

  /** Brings a late listener to where the others are. */
  replay(listener: Listener): void {
    if (this.#heardAt === 0) return;
    if (this.#isKline) listener({ kind: "reset", series: this.#series });
    else if (this.#ticker !== null) listener({ kind: "ticker", ticker: this.#ticker });
    listener({ kind: "status", status: this.#status });
  }

  #tell(change: Change): void {
    if (change.kind === "reset") this.#emit({ kind: "reset", series: this.#series });
    else if (change.kind === "bars") this.#emit({ kind: "bars", series: this.#series, bars: change.bars });
  }

  #emit(event: ChannelEvent): void {
    for (const listener of [...this.listeners]) listener(event);
  }
}
