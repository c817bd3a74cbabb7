// The pixel positions of a chart's first candles, equal to those of the charting library. Pure.

import type { Kline } from "kline-gateway-client";

export interface Box {
  /** Without the price scale. */
  readonly width: number;
  /** Without the time scale. */
  readonly height: number;
}

export interface Candle {
  readonly rising: boolean;
  /** The middle of the bar. */
  readonly x: number;
  readonly high: number;
  readonly low: number;
  readonly top: number;
  readonly bottom: number;
  /** Upper end of its volume, which stands on the box's bottom. */
  readonly volume: number;
}

/** Room for the bars to come. */
export const RIGHT_BARS = 6;
export const PIXELS_PER_BAR = 9;
/** Shares of the height that are left free. */
export const PRICES = { top: 0.12, bottom: 0.24 };
export const VOLUMES = { top: 0.82, bottom: 0 };

/** How many bars a chart of that width begins with, its price scale included. */
export function barsShown(width: number): number {
  return Math.max(30, Math.floor(width / PIXELS_PER_BAR));
}

export function candlesIn(bars: readonly Kline[], shown: number, { width, height }: Box): readonly Candle[] {
  const seen = bars.slice(-shown);
  const low = Math.min(...seen.map((bar) => bar.low));
  const high = Math.max(...seen.map((bar) => bar.high));
  const most = Math.max(...seen.map((bar) => bar.volume)) || 1;
  const spacing = width / (shown + RIGHT_BARS + 1);
  const y = (value: number): number => {
    const share = high === low ? 0.5 : (high - value) / (high - low);
    return height * (PRICES.top + share * (1 - PRICES.top - PRICES.bottom));
  };
  return seen.map((bar, index) => ({
    rising: bar.close >= bar.open,
    x: (shown - seen.length + index + 0.5) * spacing,
    high: y(bar.high),
    low: y(bar.low),
    top: y(Math.max(bar.open, bar.close)),
    bottom: y(Math.min(bar.open, bar.close)),
    volume: height * (1 - (bar.volume / most) * (1 - VOLUMES.top)),
  }));
}
