// The klines of one market: closed ones apart from the forming one, so that a chart of closed klines changes when one closes.

import type { FreshnessReason, Kline, KlineDataService, Series } from "../client/index.ts";
import type { CellOptions, Origin } from "./cell.ts";
import { errorOf, LOADING, type MarketDataError, type MarketStatus, statusOf } from "./error.ts";

export interface KlinesState {
  /** Ascending by open time. The same array until one closes or history changes. */
  readonly closed: readonly Kline[];
  readonly forming: Kline | null;
  /** Nothing has arrived yet, and it may still: also while the gateway is out of reach, which `status` says. */
  readonly loading: boolean;
  readonly status: MarketStatus;
  /** The gateway does not serve this market. `null`: it does, or it may soon. */
  readonly error: MarketDataError | null;
}

export interface Market {
  readonly symbol: string;
  readonly interval: string;
  /** Closed klines to show. */
  readonly history: number;
}

const NOTHING: Series = { closed: [], forming: null };
/** Where the gateway has said what it has, though that may be nothing. */
const ARRIVED: ReadonlySet<FreshnessReason> = new Set(["live", "late", "stale"]);
const EMPTY: KlinesState = { ...NOTHING, loading: true, status: LOADING, error: null };

/** Makes states of series; what has not changed stays the same object. */
class States {
  readonly #market: Market;
  #series: Series = NOTHING;
  #status: MarketStatus = LOADING;
  #state = EMPTY;
  /** The array that `closed` of the state is the end of. */
  #all: readonly Kline[] = NOTHING.closed;

  constructor(market: Market) {
    this.#market = market;
  }

  of(series: Series, status: MarketStatus): KlinesState {
    if (series === this.#series && status === this.#status) return this.#state;
    const { symbol, interval, history } = this.#market;
    let { closed } = this.#state;
    if (series.closed !== this.#all)
      closed = series.closed.length <= history ? series.closed : series.closed.slice(-history);
    const empty = series.forming === null && closed.length === 0;
    const error = status === this.#status ? this.#state.error : errorOf(status, symbol, interval, empty);
    this.#all = series.closed;
    this.#series = series;
    this.#status = status;
    const loading = empty && error === null && !ARRIVED.has(status.why);
    this.#state = { closed, forming: series.forming, loading, status, error };
    return this.#state;
  }
}

/** `rendered`: what a server has rendered. */
export function klinesCell(
  service: KlineDataService,
  market: Market,
  rendered: Series | undefined,
): CellOptions<KlinesState> {
  const { symbol, interval, history } = market;
  const first = new States(market).of(rendered ?? NOTHING, LOADING);
  // Of what is cached: a market that was seen before, or fetched in advance, shows at once.
  let cached = new States(market);
  return {
    initial: () => first,
    idle: () => cached.of(service.peek(symbol, interval) ?? NOTHING, LOADING),
    open(changed): Origin<KlinesState> {
      // The service's cache alone decides what stays of a market that nobody reads any more.
      cached = new States(market);
      const states = new States(market);
      let series = NOTHING;
      let status = LOADING;
      const close = service.follow(
        symbol,
        interval,
        (next) => {
          series = next;
          changed();
        },
        (next) => {
          status = statusOf(next);
          changed();
        },
        history,
      );
      return { read: () => states.of(series, status), close };
    },
  };
}
