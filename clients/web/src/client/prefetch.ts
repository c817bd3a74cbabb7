// Fetches in the background the markets that are likely next: after a pause, one at a time, a bounded number a minute.

import type { Predictor } from "./predictor.ts";

export interface PrefetchOptions {
  /** Markets fetched in advance after a switch. Default 4. */
  readonly maxMarkets?: number;
  /** Most requests a minute. Default 30. */
  readonly perMinute?: number;
}

export interface PrefetchSource {
  /** Whether the user waits for something: prefetches are put off. */
  isBusy(): boolean;
  /** Whether a prefetch is useless: the series is cached, or the gateway is unavailable. */
  isUseless(symbol: string, interval: string): boolean;
  fetch(symbol: string, interval: string): Promise<unknown>;
}

/** The user's own requests go first. */
export const SETTLE_MS = 250;
const MINUTE_MS = 60_000;

export class Prefetcher {
  enabled = true;
  readonly #predictor: Predictor;
  readonly #source: PrefetchSource;
  readonly #maxMarkets: number;
  readonly #perMinute: number;
  #waiting: (readonly [symbol: string, interval: string])[] = [];
  #startedAt: number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;

  constructor(predictor: Predictor, source: PrefetchSource, { maxMarkets = 4, perMinute = 30 }: PrefetchOptions = {}) {
    this.#predictor = predictor;
    this.#source = source;
    this.#maxMarkets = maxMarkets;
    this.#perMinute = perMinute;
  }

  /** The user views this market; `known` are all markets. */
  viewed(symbol: string, interval: string, known: readonly string[]): void {
    this.#predictor.record(symbol);
    // The predictions for the market before are obsolete.
    this.#waiting = this.#predictor.likely(symbol, known, this.#maxMarkets).map((next) => [next, interval] as const);
    this.#soon();
  }

  /** The user may choose this market next. */
  hint(symbol: string, interval: string): void {
    this.#waiting = [[symbol, interval] as const, ...this.#waiting].slice(0, this.#maxMarkets);
    this.#soon();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiting = [];
  }

  #soon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#run(), SETTLE_MS);
  }

  async #run(): Promise<void> {
    if (this.#running || this.#waiting.length === 0) return;
    if (this.#source.isBusy()) {
      this.#soon();
      return;
    }
    this.#running = true;
    for (let next = this.#next(); next !== null; next = this.#next()) {
      try {
        await this.#source.fetch(...next);
      } catch {
        // Nobody waits for it; if the user opens the market, that request reports the error.
        this.#waiting = [];
      }
    }
    this.#running = false;
  }

  #next(): readonly [symbol: string, interval: string] | null {
    const now = Date.now();
    this.#startedAt = this.#startedAt.filter((at) => now - at < MINUTE_MS);
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (!this.enabled || this.#startedAt.length >= this.#perMinute || this.#source.isUseless(...next)) continue;
      this.#startedAt.push(now);
      return next;
    }
    return null;
  }
}
