// The candles that the chart holds while it can be scrolled: a window of the market's past, which ends with the stream's
// newest candle (`live`) or before it. Pure.
//
// Invariants:
// - the candles ascend by open time, each once, and leave out none that the gateway has between the first and the last;
// - what one looks at is never dropped.

import { HttpError, type Kline, type KlinesPage } from "kline-gateway-client";

/** In candles, counted from the first one of the window; fractions are parts of a candle. */
export interface VisibleRange {
  readonly from: number;
  readonly to: number;
}

export type Side = "older" | "newer";

/** More than the 5,000 closed candles that the client library keeps, and than what fits on the widest screen twice. */
export const MOST = 6_000;
/** So many more may be there for a while, so that a chart that grows is not drawn anew with each candle. */
export const SLACK = 250;
/** Candles are loaded when fewer screens of them are left. */
const SCREENS_AHEAD = 1.5;

export class CandleWindow {
  readonly #most: number;
  #bars: Kline[] = [];
  #live: boolean;
  #begins = false;

  /** `live`: it begins empty, with the stream's candles to come; otherwise with what `show` is given. */
  constructor(live: boolean, most = MOST) {
    this.#live = live;
    this.#most = most;
  }

  /** Oldest first. Do not change them. */
  get bars(): readonly Kline[] {
    return this.#bars;
  }

  /** Whether the last candle is the stream's newest. */
  get live(): boolean {
    return this.#live;
  }

  /** Whether the gateway said that there is nothing before the first candle. */
  get begins(): boolean {
    return this.#begins;
  }

  /** Whether a moment (ms) lies within its candles. */
  covers(time: number): boolean {
    const [first, last] = [this.#bars[0], this.#bars.at(-1)];
    return first !== undefined && last !== undefined && first.openTime <= time && time <= last.closeTime;
  }

  /** The place of the last candle that opened at this time (ms) or before; 0 where all of them opened later. */
  placeOf(time: number): number {
    let [low, high] = [0, this.#bars.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#bars[middle] as Kline).openTime <= time) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  /**
   * Which candles should be loaded next for somebody who looks at `range`. `again`: older ones even where it begins. `since`: those
   * since this time (ms) are needed too, where there is room for them.
   */
  wants({ from, to }: VisibleRange, again: boolean, since: number | null = null): Side | null {
    const ahead = (to - from) * SCREENS_AHEAD;
    const [before, after] = [from, this.#bars.length - 1 - to];
    const older = (before < ahead || (since !== null && this.#lacks(since))) && (again || !this.#begins);
    const newer = !this.#live && after < ahead;
    if (older && newer) return before < after ? "older" : "newer";
    return older ? "older" : newer ? "newer" : null;
  }

  /**
   * The stream's candles have changed as a whole. `looking`: at the past, which must stay where it is. Returns whether
   * the window has changed.
   */
  reset(series: readonly Kline[], looking: boolean): boolean {
    if (!this.#live) return false;
    const [first, last] = [series[0], this.#bars.at(-1)];
    const joined = first !== undefined && last !== undefined && first.openTime <= last.openTime;
    if (!joined && looking && last !== undefined) {
      // What lies between is loaded when one scrolls there.
      this.#live = false;
      return false;
    }
    const older = joined ? this.#bars.filter(({ openTime }) => openTime < first.openTime) : [];
    if (older.length === 0) this.#begins = false;
    this.#bars = [...older, ...series];
    return true;
  }

  /** The stream's newest candle, or the one after it; nothing happens while the window ends before. */
  push(bar: Kline): void {
    if (!this.#live) return;
    if (this.#bars.at(-1)?.openTime === bar.openTime) this.#bars.pop();
    this.#bars.push(bar);
  }

  /** Candles before the first one. */
  prepend({ klines, end }: KlinesPage): void {
    const first = this.#bars[0]?.openTime ?? Number.POSITIVE_INFINITY;
    this.#bars = [...klines.filter(({ openTime }) => openTime < first), ...this.#bars];
    this.#begins = end;
  }

  /** Candles after the last one; where they reach those of the stream (`series`) the window is live again. */
  append({ klines, end }: KlinesPage, series: readonly Kline[]): void {
    const last = this.#bars.at(-1)?.openTime ?? 0;
    this.#bars.push(...klines.filter(({ openTime }) => openTime > last));
    this.#join(series, end);
  }

  /** Other candles instead of these: those of the stream alone, or a part of the past that may reach them. */
  show(klines: readonly Kline[], begins: boolean, series: readonly Kline[]): void {
    this.#bars = [...klines];
    this.#begins = begins;
    this.#live = false;
    this.#join(series, klines.length === 0);
  }

  /** Drops candles beyond the most, on the side where more are out of sight. Returns whether it dropped any. */
  trim({ from, to }: VisibleRange): boolean {
    const excess = this.#bars.length - this.#most;
    const [before, after] = [Math.floor(from), Math.floor(this.#bars.length - 1 - to)];
    const count = Math.min(excess, Math.max(before, after));
    if (excess <= SLACK || count <= 0) return false;
    if (before >= after) {
      this.#bars.splice(0, count);
      this.#begins = false;
    } else {
      this.#bars.splice(-count, count);
      this.#live = false;
    }
    return true;
  }

  #lacks(since: number): boolean {
    const first = this.#bars[0];
    if (first === undefined || first.openTime <= since) return false;
    const count = (first.openTime - since) / (first.closeTime + 1 - first.openTime);
    return this.#bars.length + count <= this.#most;
  }

  /** `all`: there is nothing between the last candle and the stream's. */
  #join(series: readonly Kline[], all: boolean): void {
    const [last, first] = [this.#bars.at(-1), series[0]];
    if (first === undefined) {
      this.#live = all;
    } else if (all || (last !== undefined && last.openTime >= first.openTime)) {
      const older = this.#bars.filter(({ openTime }) => openTime < first.openTime);
      this.#bars = [...older, ...series];
      this.#live = true;
    }
  }
}

const NAMES = { older: "Older candles", newer: "Newer candles", there: "These candles" };

/** Why candles could not be loaded, in words. `error`: `null` where the gateway answered that its source is away. */
export function lossText(what: Side | "there", error: unknown): string {
  return `${NAMES[what]} could not be loaded: ${reason(error)}`;
}

function reason(error: unknown): string {
  if (error === null) return "the gateway's source is disconnected.";
  if (!(error instanceof HttpError) || error.code === "CIRCUIT_OPEN") return "the gateway cannot be reached.";
  if (error.status === 401 || error.status === 403) return "the token is not valid any more.";
  if (error.status === 429) return "too many requests were sent from here.";
  if (error.status >= 500) return "history is temporarily unavailable.";
  return error.message;
}
