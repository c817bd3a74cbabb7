// Keeps series of TradingView's lightweight-charts up to date. It uses their interface and not their package, so
// that any version with `setData` and `update` works.

import type { Kline, KlineDataService, SeriesStatus } from "../client/index.ts";

export interface CandlePoint {
  /** Seconds since the epoch, UTC. */
  time: number;
  open: number;
  high: number;
  low: number;
  close: number;
}

export interface VolumePoint {
  time: number;
  value: number;
  color?: string;
}

/** What is used of an `ISeriesApi`. Its points' time is a type of the chart's own, which a number is not. */
interface Series {
  setData(points: never[]): void;
  update(point: never): void;
}

export interface ChartOptions {
  readonly symbol: string;
  readonly interval: string;
  /** Closed klines to begin with. Default 500. */
  readonly history?: number;
  readonly volumes?: Series;
  readonly volumeColor?: (bar: Kline) => string;
  readonly onStatus?: (status: SeriesStatus) => void;
  /** Called after everything was drawn again, for example to fit the time scale. */
  readonly onReset?: (bars: readonly Kline[]) => void;
}

const SECOND_MS = 1_000;

/**
 * Draws a series and keeps it up to date; returns a function that stops it. The chart throws at a bar older than its
 * newest, so none is pushed: changes of history redraw everything.
 */
export function followWithLightweightCharts(
  service: KlineDataService,
  candles: Series,
  { symbol, interval, history = 500, volumes, volumeColor, onStatus, onReset }: ChartOptions,
): () => void {
  const volume = (bar: Kline): VolumePoint => ({
    time: bar.openTime / SECOND_MS,
    value: bar.volume,
    ...(volumeColor && { color: volumeColor(bar) }),
  });
  return service.subscribe(
    symbol,
    interval,
    (bar) => {
      candles.update(candle(bar) as never);
      volumes?.update(volume(bar) as never);
    },
    onStatus,
    {
      history,
      onReset: (bars) => {
        candles.setData(bars.map(candle) as never[]);
        volumes?.setData(bars.map(volume) as never[]);
        onReset?.(bars);
      },
    },
  );
}

function candle({ openTime, open, high, low, close }: Kline): CandlePoint {
  return { time: openTime / SECOND_MS, open, high, low, close };
}
