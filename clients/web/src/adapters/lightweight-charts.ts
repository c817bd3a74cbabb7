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

/** What is used of an `ITimeScaleApi`. */
interface TimeScale {
  subscribeVisibleLogicalRangeChange(moved: (range: VisibleRange | null) => void): void;
  unsubscribeVisibleLogicalRangeChange(moved: (range: VisibleRange | null) => void): void;
}

/** In bars, from the first one of the series on. */
interface VisibleRange {
  readonly from: number;
  readonly to: number;
}

export interface ChartOptions {
  readonly symbol: string;
  readonly interval: string;
  /** Closed klines to begin with. Default 500. */
  readonly history?: number;
  readonly volumes?: Series;
  readonly volumeColor?: (bar: Kline) => string;
  readonly onStatus?: (status: SeriesStatus) => void;
  /** `chart.timeScale()`: scrolling left loads older candles before one gets to the edge. */
  readonly timeScale?: TimeScale;
  /** Candles that are kept at most by scrolling left. Default 20,000. */
  readonly maxKlines?: number;
  /** Called once when the first candle there is has been loaded. */
  readonly onBeginning?: () => void;
  /** Called after everything was drawn again, for example to fit the time scale. */
  readonly onReset?: (bars: readonly Kline[]) => void;
}

const SECOND_MS = 1_000;
const MAX_KLINES = 20_000;
const RETRY_MS = 5_000;

/**
 * Draws a series and keeps it up to date; returns a function that stops it. The chart throws at a bar older than its
 * newest, so none is pushed: changes of history redraw everything.
 */
export function followWithLightweightCharts(
  service: KlineDataService,
  candles: Series,
  {
    symbol,
    interval,
    history = 500,
    volumes,
    volumeColor,
    onStatus,
    timeScale,
    maxKlines = MAX_KLINES,
    onBeginning,
    onReset,
  }: ChartOptions,
): () => void {
  /** Before the first candle of the stream, ascending. */
  let older: readonly Kline[] = [];
  let streamed: Kline[] = [];
  let loading = false;
  let stopped = false;
  let retryAt = 0;
  const volume = (bar: Kline): VolumePoint => ({
    time: bar.openTime / SECOND_MS,
    value: bar.volume,
    ...(volumeColor && { color: volumeColor(bar) }),
  });
  const draw = (): void => {
    const bars = [...older, ...streamed];
    candles.setData(bars.map(candle) as never[]);
    volumes?.setData(bars.map(volume) as never[]);
  };
  const load = async (first: Kline): Promise<void> => {
    loading = true;
    try {
      const { klines, end } = await service.fetchOlder(symbol, interval, first.openTime, service.pageSize);
      // The series may have been reset meanwhile.
      if (stopped || (older[0] ?? streamed[0]) !== first) return;
      older = [...klines, ...older];
      if (klines.length > 0) draw();
      // At the beginning, and after a failure, it is asked again later: archives grow.
      retryAt = end ? Date.now() + RETRY_MS : 0;
      if (end) onBeginning?.();
    } catch {
      retryAt = Date.now() + RETRY_MS;
    } finally {
      loading = false;
    }
  };
  const moved = (range: VisibleRange | null): void => {
    const first = older[0] ?? streamed[0];
    if (range === null || first === undefined || loading || Date.now() < retryAt) return;
    const near = range.from < range.to - range.from;
    if (near && older.length + streamed.length < maxKlines) void load(first);
  };
  timeScale?.subscribeVisibleLogicalRangeChange(moved);
  const stop = service.subscribe(
    symbol,
    interval,
    (bar) => {
      if (streamed.at(-1)?.openTime === bar.openTime) streamed.pop();
      streamed.push(bar);
      candles.update(candle(bar) as never);
      volumes?.update(volume(bar) as never);
    },
    onStatus,
    {
      history,
      onReset: (bars) => {
        streamed = [...bars];
        const first = bars[0];
        const next = older.at(-1);
        // A series that begins elsewhere than before does not go on from what was loaded.
        if (first === undefined || next === undefined || next.closeTime + 1 !== first.openTime) older = [];
        draw();
        onReset?.(bars);
      },
    },
  );
  return () => {
    stopped = true;
    timeScale?.unsubscribeVisibleLogicalRangeChange(moved);
    stop();
  };
}

function candle({ openTime, open, high, low, close }: Kline): CandlePoint {
  return { time: openTime / SECOND_MS, open, high, low, close };
}
