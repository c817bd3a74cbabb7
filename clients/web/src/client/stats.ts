// Counts and times of the cache. Pure.

export interface Timing {
  readonly count: number;
  readonly lastMs: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

export interface CacheStats {
  /** Answered at once with fresh klines. */
  readonly hits: number;
  /** Answered at once with old klines, which were refreshed in the background. */
  readonly staleHits: number;
  /** Had to wait for the gateway. */
  readonly misses: number;
  /** Of the misses: waited for a request that was in flight already. */
  readonly joined: number;
  /** (hits + staleHits) of all; 0 before the first. */
  readonly hitRate: number;
  readonly requests: number;
  readonly failures: number;
  /** Prefetched series, and how many of those were used later. */
  readonly prefetched: number;
  readonly prefetchUsed: number;
  readonly symbols: number;
  readonly series: number;
  readonly evictions: number;
  /** What a caller waited, with and without a request. */
  readonly cached: Timing;
  readonly fetched: Timing;
}

const KEPT = 200;

/** The last 200 times. */
export class Stopwatch {
  readonly #times: number[] = [];
  #count = 0;

  note(ms: number): void {
    this.#times[this.#count % KEPT] = ms;
    this.#count += 1;
  }

  get timing(): Timing {
    const sorted = this.#times.toSorted((a, b) => a - b);
    const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    return {
      count: this.#count,
      lastMs: this.#times[(this.#count - 1) % KEPT] ?? 0,
      p50Ms: at(0.5),
      p95Ms: at(0.95),
    };
  }
}
