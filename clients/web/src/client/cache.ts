// What is known of series that nobody streams just now: the least recently used symbol goes first. Pure.

import type { Kline } from "./types.ts";

/** One series as it was when it was last confirmed. */
export interface Held {
  /** Ascending by open time; the last one may be forming. */
  readonly klines: readonly Kline[];
  /** How many were asked for: fewer may exist. */
  readonly asked: number;
  /** When the gateway said so (wall clock, ms). */
  readonly at: number;
  /** The gateway's own source was away. */
  readonly stale: boolean;
  /** Fetched in advance, and not asked for since. */
  readonly ahead?: boolean;
}

export class SeriesCache {
  readonly #most: number;
  /** In order of use, the latest last. */
  readonly #symbols = new Map<string, Map<string, Held>>();
  #evictions = 0;

  constructor(mostSymbols: number) {
    this.#most = mostSymbols;
  }

  get symbols(): number {
    return this.#symbols.size;
  }

  get series(): number {
    let count = 0;
    for (const intervals of this.#symbols.values()) count += intervals.size;
    return count;
  }

  /** Symbols that had to go. */
  get evictions(): number {
    return this.#evictions;
  }

  /** Looks without counting as use. */
  peek(symbol: string, interval: string): Held | null {
    return this.#symbols.get(symbol)?.get(interval) ?? null;
  }

  get(symbol: string, interval: string): Held | null {
    const intervals = this.#symbols.get(symbol);
    if (intervals === undefined) return null;
    this.#symbols.delete(symbol);
    this.#symbols.set(symbol, intervals);
    return intervals.get(interval) ?? null;
  }

  put(symbol: string, interval: string, held: Held): void {
    const intervals = this.#symbols.get(symbol) ?? new Map<string, Held>();
    intervals.set(interval, held);
    this.#symbols.delete(symbol);
    this.#symbols.set(symbol, intervals);
    for (const oldest of this.#symbols.keys()) {
      if (this.#symbols.size <= this.#most) break;
      this.#symbols.delete(oldest);
      this.#evictions += 1;
    }
  }
}
