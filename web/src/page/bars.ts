// Candles as the charting library takes them, and back.

import type { Kline } from "kline-gateway-client";
import type { CandlestickData, Time, UTCTimestamp } from "lightweight-charts";

/** What the legend needs of the bar under the cursor. */
export interface ShownBar {
  readonly openTime: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}

const SECOND_MS = 1_000;

export function timeOf(bar: Kline): UTCTimestamp {
  return (bar.openTime / SECOND_MS) as UTCTimestamp;
}

export function candleOf(bar: Kline): CandlestickData<Time> {
  return { time: timeOf(bar), open: bar.open, high: bar.high, low: bar.low, close: bar.close };
}

export function shownBar({ time, open, high, low, close }: CandlestickData, volume: number): ShownBar {
  return { openTime: (time as UTCTimestamp) * SECOND_MS, open, high, low, close, volume };
}
