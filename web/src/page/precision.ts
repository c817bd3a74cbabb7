// How many digits prices are shown with: the most that any price of the source had. Pure.
// JSON numbers lose trailing zeros, so one price alone is not enough (97000.10 arrives as 97000.1).

import type { Kline, Ticker } from "kline-gateway-client";

/** Beyond this a number is noise of a computation, not a price. */
export const MAX_DIGITS = 10;

/** Digits after the decimal point of a number's shortest text. */
export function digitsOf(value: number): number {
  const [mantissa = "", exponent = "0"] = String(value).split("e");
  const fraction = mantissa.split(".")[1] ?? "";
  return Math.min(MAX_DIGITS, Math.max(0, fraction.length - Number(exponent)));
}

/** The most digits among what was seen before and these bars' prices. */
export function digitsOfBars(seen: number, bars: readonly Kline[]): number {
  let digits = seen;
  for (const { open, high, low, close } of bars) {
    digits = Math.max(digits, digitsOf(open), digitsOf(high), digitsOf(low), digitsOf(close));
  }
  return digits;
}

/** The most digits among a ticker's prices. */
export function digitsOfTicker(ticker: Ticker | null): number {
  const prices = [ticker?.c, ticker?.o, ticker?.h, ticker?.l];
  return Math.max(...prices.map((value) => (value === undefined ? 0 : digitsOf(value))));
}
