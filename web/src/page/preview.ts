// The first candles, drawn while the charting library is still loading. A still picture; the chart replaces it.

import type { Kline } from "kline-gateway-client";
import { barsShown, candlesIn, PIXELS_PER_BAR } from "./geometry";
import { digitsOfBars } from "./precision";

const TIME_SCALE_PIXELS = 27;
/** Of the price scale, beside its widest label. */
const LABEL_PADDING_PIXELS = 19;
const GAP_PIXELS = 2;

export function drawPreview(canvas: HTMLCanvasElement, bars: readonly Kline[]): void {
  const pen = canvas.getContext("2d");
  const newest = bars.at(-1);
  if (pen === null || newest === undefined) return;
  const { width, height } = canvas.getBoundingClientRect();
  const style = getComputedStyle(canvas);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`);
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.font = `11px ${style.fontFamily}`;
  const scale = pen.measureText(newest.close.toFixed(digitsOfBars(0, bars))).width + LABEL_PADDING_PIXELS;
  const box = { width: width - scale, height: height - TIME_SCALE_PIXELS };
  const body = PIXELS_PER_BAR - GAP_PIXELS;
  for (const { rising, x, high, low, top, bottom, volume } of candlesIn(bars, barsShown(width), box)) {
    pen.fillStyle = colour(rising ? "up-soft" : "down-soft");
    pen.fillRect(x - body / 2, volume, body, box.height - volume);
    pen.fillStyle = colour(rising ? "up" : "down");
    pen.fillRect(x - 0.5, high, 1, low - high);
    pen.fillRect(x - body / 2, top, body, Math.max(1, bottom - top));
  }
  canvas.hidden = false;
}
