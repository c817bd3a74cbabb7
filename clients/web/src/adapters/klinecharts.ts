// A data loader for KLineChart 10: `chart.setDataLoader(klineChartLoader(service))`. It uses the chart's data types and
// not its package.

import type { Kline, KlineDataService } from "../client/index.ts";
import { follow } from "./follow.ts";

export interface Period {
  type: "second" | "minute" | "hour" | "day" | "week" | "month" | "year";
  span: number;
}

/** A type and not an interface: only so it fits the chart's own, which takes further fields. */
export type Candle = {
  timestamp: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
  turnover: number;
};

interface SeriesRequest {
  readonly symbol: { readonly ticker: string };
  readonly period: Period;
}

export interface GetBars extends SeriesRequest {
  readonly type: "init" | "forward" | "backward" | "update";
  /** Open time of the bar at the edge, ms. */
  readonly timestamp: number | null;
  callback(bars: Candle[], more?: boolean | { forward?: boolean; backward?: boolean }): void;
}

export interface SubscribeBar extends SeriesRequest {
  callback(bar: Candle): void;
}

export interface LoaderOptions {
  /**
   * History has changed (a gap that was too long, a correction), and the chart takes no older bar:
   * call `chart.resetData()`.
   */
  readonly onReset?: () => void;
}

const UNITS = { second: "s", minute: "m", hour: "h", day: "d", week: "w", month: "M", year: "y" } as const;

/** One loader a chart. */
export function klineChartLoader(service: KlineDataService, { onReset = () => {} }: LoaderOptions = {}) {
  const stops = new Map<string, () => void>();
  let inits = 0;
  let given: number | null = null;
  const key = ({ symbol, period }: SeriesRequest): string => `${symbol.ticker}/${intervalOf(period)}`;
  const unsubscribeBar = (watched: SeriesRequest): void => {
    stops.get(key(watched))?.();
    stops.delete(key(watched));
  };
  return {
    /** The chart says `forward` for further back in time. */
    async getBars({ type, timestamp, symbol, period, callback }: GetBars): Promise<void> {
      const interval = intervalOf(period);
      if (type === "init") {
        inits += 1;
        const own = inits;
        const klines = await service.fetchKlines(symbol.ticker, interval, service.pageSize).then(
          (found) => found.klines,
          // The chart has no error state. The stream resets it when there is data.
          () => [],
        );
        // The chart would take a late answer for the market that is shown now.
        if (own !== inits) return;
        given = klines.at(-1)?.openTime ?? null;
        callback(klines.map(candle), { forward: true, backward: false });
      } else if (type === "forward" && timestamp !== null) {
        const own = inits;
        const [older, more] = await service.fetchOlder(symbol.ticker, interval, timestamp, service.pageSize).then(
          ({ klines, end }) => [klines, !end] as const,
          // The chart asks again when the user scrolls there again.
          () => [[], true] as const,
        );
        if (own === inits) callback(older.map(candle), { forward: more, backward: false });
      } else {
        // Newer bars arrive through the subscription.
        callback([], false);
      }
    },

    subscribeBar(watched: SubscribeBar): void {
      unsubscribeBar(watched);
      const followed = {
        symbol: watched.symbol.ticker,
        interval: intervalOf(watched.period),
        history: service.pageSize,
        given,
      };
      stops.set(
        key(watched),
        follow(service, followed, (bar) => watched.callback(candle(bar)), onReset),
      );
    },

    unsubscribeBar,
  };
}

/** `15m` -> 15 minutes, in the chart's terms. */
export function periodOf(interval: string): Period {
  const type = (Object.keys(UNITS) as Period["type"][]).find((name) => UNITS[name] === interval.slice(-1));
  if (type === undefined) throw new RangeError(`${interval} is not an interval`);
  return { type, span: Number.parseInt(interval, 10) };
}

function intervalOf({ type, span }: Period): string {
  return `${span}${UNITS[type]}`;
}

function candle({ openTime, open, high, low, close, volume, quoteVolume }: Kline): Candle {
  return { timestamp: openTime, open, high, low, close, volume, turnover: quoteVolume };
}
