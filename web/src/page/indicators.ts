// Indicators as folds over candles: a state, and the next one with one candle more. What the chart shows of the forming candle
// is the fold of it onto the state before, so that an update costs the same however many candles there are. Pure.

import type { Kline } from "kline-gateway-client";

/** `S`: immutable. */
export interface Indicator<S> {
  readonly start: S;
  next(state: S, bar: Kline): S;
  /** `null`: there are too few candles yet. */
  value(state: S): number | null;
}

/** The mean of the last `length` closes. */
export function movingAverage(length: number): Indicator<readonly number[]> {
  return {
    start: [],
    next: (closes, { close }) => [...(closes.length === length ? closes.slice(1) : closes), close],
    // Added up anew: a running sum would gather the errors of thousands of subtractions.
    value: (closes) => (closes.length < length ? null : sum(closes) / length),
  };
}

interface Average {
  readonly count: number;
  readonly mean: number;
}

/** Exponential, with the weight 2 / (length + 1); it begins with the mean of the first `length` closes. */
export function exponentialAverage(length: number): Indicator<Average> {
  return {
    start: { count: 0, mean: 0 },
    next: ({ count, mean }, { close }) => {
      // Until there are enough, the mean of all so far.
      const weight = count < length ? 1 / (count + 1) : 2 / (length + 1);
      return { count: Math.min(length, count + 1), mean: mean + (close - mean) * weight };
    },
    value: ({ count, mean }) => (count < length ? null : mean),
  };
}

interface Strength {
  /** Changes so far, up to the length. */
  readonly count: number;
  readonly close: number | null;
  readonly gain: number;
  readonly loss: number;
}

/** Wilder's relative strength index, 0 to 100: means of gains and losses with the weight 1 / length. */
export function relativeStrength(length: number): Indicator<Strength> {
  return {
    start: { count: 0, close: null, gain: 0, loss: 0 },
    next: (before, { close }) => {
      if (before.close === null) return { ...before, close };
      const change = close - before.close;
      const weight = 1 / (before.count < length ? before.count + 1 : length);
      return {
        count: Math.min(length, before.count + 1),
        close,
        gain: before.gain + (Math.max(0, change) - before.gain) * weight,
        loss: before.loss + (Math.max(0, -change) - before.loss) * weight,
      };
    },
    value: ({ count, gain, loss }) => {
      if (count < length) return null;
      return gain + loss === 0 ? 50 : (100 * gain) / (gain + loss);
    },
  };
}

interface Session {
  readonly day: number | null;
  /** Whether its first candle was there: without it the mean would be another one. */
  readonly whole: boolean;
  readonly money: number;
  readonly volume: number;
}

const DAY_MS = 86_400_000;

/** The volume-weighted average price since the begin of the UTC day, of typical prices (high + low + close) / 3. */
export function volumeWeightedPrice(): Indicator<Session> {
  return {
    start: { day: null, whole: false, money: 0, volume: 0 },
    next: (before, { openTime, high, low, close, volume }) => {
      const day = Math.floor(openTime / DAY_MS);
      const money = ((high + low + close) / 3) * volume;
      if (day === before.day) return { ...before, money: before.money + money, volume: before.volume + volume };
      // Another day after one that was seen, or its very first candle.
      return { day, whole: before.day !== null || openTime % DAY_MS === 0, money, volume };
    },
    value: ({ whole, money, volume }) => (whole && volume > 0 ? money / volume : null),
  };
}

/** One indicator of a chart's candles. */
export class Running<S> {
  readonly #indicator: Indicator<S>;
  /** Without the last candle. */
  #before: S;
  #last: Kline | null = null;

  constructor(indicator: Indicator<S>) {
    this.#indicator = indicator;
    this.#before = indicator.start;
  }

  /** The values of these candles, oldest first. */
  reset(bars: readonly Kline[]): readonly (number | null)[] {
    this.#before = this.#indicator.start;
    this.#last = null;
    return bars.map((bar) => this.push(bar));
  }

  /** The value of the last candle, which has changed, or of the one after it. */
  push(bar: Kline): number | null {
    if (this.#last !== null && this.#last.openTime !== bar.openTime) {
      this.#before = this.#indicator.next(this.#before, this.#last);
    }
    this.#last = bar;
    return this.#indicator.value(this.#indicator.next(this.#before, bar));
  }
}

function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
