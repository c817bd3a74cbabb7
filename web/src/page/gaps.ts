// Finds missing candles. Pure.

import type { Kline } from "kline-gateway-client";

/** From the first missing open time to the next candle's, ms. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

export function gapsIn(klines: readonly Kline[]): readonly Gap[] {
  const gaps: Gap[] = [];
  let expected: number | null = null;
  for (const { openTime, closeTime } of klines) {
    if (expected !== null && openTime > expected) gaps.push({ from: expected, to: openTime });
    expected = closeTime + 1;
  }
  return gaps;
}

const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: "UTC" });
const NAMED = 5;

/** The newest gaps in words. */
export function gapsText(gaps: readonly Gap[]): string {
  const named = gaps.slice(-NAMED).map(({ from, to }) => `${clock.format(from)} – ${clock.format(to)}`);
  const more = gaps.length > NAMED ? [`and ${gaps.length - NAMED} before`] : [];
  return `The source has no candles here: ${[...named, ...more].join("; ")} (UTC)`;
}
