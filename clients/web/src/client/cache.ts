// A cache of series that are not streamed: it evicts the least recently used symbol. Pure.

import type { Kline } from "./types.ts";

/** One series as it was when it was last confirmed. */
export interface CachedSeries {
  /** Ascending by open time; the last one may be forming. */
  readonly klines: readonly Kline[];
  /** How many klines were requested; fewer may exist. */
  readonly requested: number;
  /** When the gateway sent them (wall clock, ms). */
  readonly at: number;
  /** The gateway's source was disconnected. */
  readonly stale: boolean;
  /** Prefetched, and not requested since. */
  readonly prefetched?: boolean;
}

export class SeriesCache {
  readonly #maxSymbols: number;
  /** In order of use, the latest last. */
  readonly #symbols = new Map<string, Map<string, CachedSeries>>();
  #evictions = 0;

  constructor(maxSymbols: number) {
    this.#maxSymbols = maxSymbols;
  }

  get symbols(): number {
    return this.#symbols.size;
  }

  get series(): number {
    let count = 0;
    for (const intervals of this.#symbols.values()) count += intervals.size;
    return count;
  }

  /** Symbols that were evicted. */
  get evictions(): number {
    return this.#evictions;
  }

  /** Returns an entry without counting it as used. */
  peek(symbol: string, interval: string): CachedSeries | null {
    return this.#symbols.get(symbol)?.get(interval) ?? null;
  }

  get(symbol: string, interval: string): CachedSeries | null {
    const intervals = this.#symbols.get(symbol);
    if (intervals === undefined) return null;
    this.#symbols.delete(symbol);
    this.#symbols.set(symbol, intervals);
    return intervals.get(interval) ?? null;
  }

  put(symbol: string, interval: string, entry: CachedSeries): void {
    const intervals = this.#symbols.get(symbol) ?? new Map<string, CachedSeries>();
    intervals.set(interval, entry);
    this.#symbols.delete(symbol);
    this.#symbols.set(symbol, intervals);
    for (const oldest of this.#symbols.keys()) {
      if (this.#symbols.size <= this.#maxSymbols) break;
      this.#symbols.delete(oldest);
      this.#evictions += 1;
    }
  }
}
