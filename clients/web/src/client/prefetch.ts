// Fetches in the background what is likely to be looked at next: after a pause, one at a time, a bounded number a minute.

import type { Predictor } from "./predictor.ts";

export interface PrefetchOptions {
  /** Markets fetched in advance after a switch. Default 4. */
  readonly most?: number;
  /** Requests a minute, whatever happens. Default 30. */
  readonly perMinute?: number;
}

export interface Ahead {
  /** Whether there is nothing to gain: it is held, or the gateway is away. */
  pointless(symbol: string, interval: string): boolean;
  fetch(symbol: string, interval: string): Promise<unknown>;
}

/** What was asked for goes first. */
export const SETTLE_MS = 250;
const MINUTE_MS = 60_000;

export class Prefetcher {
  enabled = true;
  readonly #predictor: Predictor;
  readonly #ahead: Ahead;
  readonly #most: number;
  readonly #perMinute: number;
  #waiting: (readonly [symbol: string, interval: string])[] = [];
  #startedAt: number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;

  constructor(predictor: Predictor, ahead: Ahead, { most = 4, perMinute = 30 }: PrefetchOptions = {}) {
    this.#predictor = predictor;
    this.#ahead = ahead;
    this.#most = most;
    this.#perMinute = perMinute;
  }

  /** Somebody looks at this now; `known` are the markets there are. */
  looked(symbol: string, interval: string, known: readonly string[]): void {
    this.#predictor.note(symbol);
    // What was likely before is not likely now.
    this.#waiting = this.#predictor.likely(symbol, known, this.#most).map((next) => [next, interval] as const);
    this.#soon();
  }

  /** Somebody is about to choose this (the pointer rests on it). */
  hint(symbol: string, interval: string): void {
    this.#waiting = [[symbol, interval] as const, ...this.#waiting].slice(0, this.#most);
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
    if (this.#running) return;
    this.#running = true;
    for (let next = this.#next(); next !== null; next = this.#next()) {
      try {
        await this.#ahead.fetch(...next);
      } catch {
        // It was nobody's wish; who wishes it will be told.
        this.#waiting = [];
      }
    }
    this.#running = false;
  }

  #next(): readonly [symbol: string, interval: string] | null {
    const now = Date.now();
    this.#startedAt = this.#startedAt.filter((at) => now - at < MINUTE_MS);
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (!this.enabled || this.#startedAt.length >= this.#perMinute || this.#ahead.pointless(...next)) continue;
      this.#startedAt.push(now);
      return next;
    }
    return null;
  }
}
