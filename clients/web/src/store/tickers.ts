// The tickers of one or of several markets.

import type { KlineDataService, Ticker } from "../client/index.ts";
import type { CellOptions, Origin } from "./cell.ts";
import { errorOf, LOADING, type MarketDataError, type MarketStatus, statusOf } from "./error.ts";

export interface TickerState {
  /** Last price (`c`) and 24 h figures; `null`: nothing has arrived yet. */
  readonly ticker: Ticker | null;
  readonly status: MarketStatus;
  /** The gateway does not serve this market. `null`: it does, or it may soon. */
  readonly error: MarketDataError | null;
}

const EMPTY: TickerState = { ticker: null, status: LOADING, error: null };
const NONE: ReadonlyMap<string, TickerState> = new Map();

export function tickerCell(service: KlineDataService, symbol: string): CellOptions<TickerState> {
  return { initial: () => EMPTY, idle: () => EMPTY, open: (changed) => openTicker(service, symbol, changed) };
}

/** A map in the order of `symbols`, each once. A market that has not changed keeps its state. */
export function tickersCell(
  service: KlineDataService,
  symbols: readonly string[],
): CellOptions<ReadonlyMap<string, TickerState>> {
  return {
    initial: () => NONE,
    idle: () => NONE,
    open(changed): Origin<ReadonlyMap<string, TickerState>> {
      const origins = new Map([...new Set(symbols)].map((symbol) => [symbol, openTicker(service, symbol, changed)]));
      return {
        read: () => new Map([...origins].map(([symbol, origin]) => [symbol, origin.read()])),
        close() {
          for (const origin of origins.values()) origin.close();
        },
      };
    },
  };
}

function openTicker(service: KlineDataService, symbol: string, changed: () => void): Origin<TickerState> {
  let [ticker, status, state]: [Ticker | null, MarketStatus, TickerState] = [null, LOADING, EMPTY];
  const close = service.ticker(
    symbol,
    (next) => {
      ticker = next;
      changed();
    },
    (next) => {
      status = statusOf(next);
      changed();
    },
  );
  return {
    read() {
      if (ticker === state.ticker && status === state.status) return state;
      const error = status === state.status ? state.error : errorOf(status, symbol, null, ticker === null);
      state = { ticker, status, error };
      return state;
    },
    close,
  };
}
