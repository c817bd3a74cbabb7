// The past through a cache: at once where something is held, one request a series in flight, old answers while the
// gateway is away. It knows no stream; what is streamed just now, it is told by whoever made it.

import { backoffMs } from "./backoff.ts";
import { Breaker } from "./breaker.ts";
import { type Held, SeriesCache } from "./cache.ts";
import { fetchKlines, HttpError, type KlinesAnswer, type KlinesQuery } from "./history.ts";
import { type CacheStats, Stopwatch } from "./stats.ts";
import type { Kline } from "./types.ts";

export interface Klines {
  readonly symbol: string;
  readonly interval: string;
  /** Ascending by open time; the last one may be forming. */
  readonly klines: readonly Kline[];
  /** Answered without waiting for the gateway. */
  readonly cached: boolean;
  /** May be out of date: the gateway or its source is away, or it is being read anew just now. */
  readonly stale: boolean;
  /** Since the gateway said so. */
  readonly ageMs: number;
}

export interface ReaderOptions {
  /** The gateway's address. */
  readonly url: string;
  readonly fetch?: typeof globalThis.fetch;
  /** Asked each time, so that it may change; goes along with requests and connections. */
  readonly token?: () => string | null;
  /** Default 100. */
  readonly mostSymbols?: number;
  /** How long an answer counts as fresh. Default 60 s. */
  readonly ttlMs?: number;
}

export interface Streamed {
  /** What the stream holds of this series, if it holds it. */
  held(symbol: string, interval: string): Held | null;
  /** The stream is down: nothing held can be vouched for. */
  away(): boolean;
  /** The most klines the gateway gives at a time, as far as it has said so. */
  most(): number;
}

export const LIMIT = 500;
const RETRIES = 2;
const TOO_MANY = 429;
const UNAVAILABLE = 503;

export class Reader {
  readonly #url: string;
  readonly #fetch: typeof globalThis.fetch;
  readonly #token: () => string | null;
  readonly #ttlMs: number;
  readonly #streamed: Streamed;
  readonly #cache: SeriesCache;
  readonly #breaker = new Breaker();
  readonly #inFlight = new Map<string, Promise<Held>>();
  readonly #cached = new Stopwatch();
  readonly #fetched = new Stopwatch();
  readonly #counts = { hits: 0, staleHits: 0, misses: 0, joined: 0, requests: 0, failures: 0 };
  #prefetched = 0;
  #prefetchUsed = 0;
  #failing = false;

  constructor(
    { url, fetch = globalThis.fetch, token = () => null, mostSymbols = 100, ttlMs = 60_000 }: ReaderOptions,
    streamed: Streamed,
  ) {
    this.#token = token;
    this.#url = url;
    this.#fetch = (...asked) => fetch(...asked);
    this.#ttlMs = ttlMs;
    this.#streamed = streamed;
    this.#cache = new SeriesCache(mostSymbols);
  }

  /** The newest `limit` klines. Rejects with `HttpError` or `TypeError` where nothing is held and nothing can be had. */
  async klines(symbol: string, interval: string, limit: number): Promise<Klines> {
    const startedAt = performance.now();
    const held = this.#held(symbol, interval, limit);
    const answer = (found: Held, cached: boolean, stale: boolean): Klines => {
      (cached ? this.#cached : this.#fetched).note(performance.now() - startedAt);
      return {
        symbol,
        interval,
        klines: found.klines.slice(-limit),
        cached,
        stale: found.stale || stale,
        ageMs: Math.max(0, Date.now() - found.at),
      };
    };
    if (held !== null && held.asked >= limit) {
      this.#used(symbol, interval, held);
      const fresh = this.#fresh(held);
      this.#counts[fresh ? "hits" : "staleHits"] += 1;
      // Who gets the old answer is not told of what becomes of the new one.
      if (!fresh) this.#read(symbol, interval, held.asked).catch(() => {});
      return answer(held, true, !fresh || this.away);
    }
    this.#counts.misses += 1;
    try {
      return answer(await this.#read(symbol, interval, limit), false, false);
    } catch (error) {
      // What is asked too often is not wrong: what is held will do.
      if (held === null || (refused(error) && error.status !== TOO_MANY)) throw error;
      return answer(held, true, true);
    }
  }

  /** Klines up to an open time, for somebody who scrolls back: asked for each time, as they are rarely seen twice. */
  async older(symbol: string, interval: string, endTime: number, limit: number): Promise<readonly Kline[]> {
    return (await this.#ask({ symbol, interval, limit: this.#bound(limit), endTime })).klines;
  }

  /** Fills the cache in advance. */
  async ahead(symbol: string, interval: string): Promise<void> {
    await this.#read(symbol, interval, LIMIT);
    const held = this.#cache.peek(symbol, interval);
    if (held !== null) this.#cache.put(symbol, interval, { ...held, ahead: true });
    this.#prefetched += 1;
  }

  /** Whether fetching in advance would gain nothing. */
  pointless(symbol: string, interval: string): boolean {
    const held = this.#streamed.held(symbol, interval) ?? this.#cache.peek(symbol, interval);
    return this.away || (held !== null && this.#fresh(held));
  }

  /** For the stream: what to continue from, where it reaches far enough back. */
  seed(symbol: string, interval: string, history: number): Held | null {
    const held = this.#cache.get(symbol, interval);
    if (held === null || held.asked < history || held.klines.length === 0) return null;
    this.#used(symbol, interval, held);
    return held;
  }

  keep(symbol: string, interval: string, held: Held): void {
    this.#cache.put(symbol, interval, held);
  }

  /** Nothing held can be vouched for. */
  get away(): boolean {
    return this.#failing || this.#streamed.away();
  }

  get stats(): CacheStats {
    const { hits, staleHits, misses } = this.#counts;
    const all = hits + staleHits + misses;
    return {
      ...this.#counts,
      hitRate: all === 0 ? 0 : (hits + staleHits) / all,
      prefetched: this.#prefetched,
      prefetchUsed: this.#prefetchUsed,
      symbols: this.#cache.symbols,
      series: this.#cache.series,
      evictions: this.#cache.evictions,
      cached: this.#cached.timing,
      fetched: this.#fetched.timing,
    };
  }

  /** The stream's is the newest; but a bot's may not reach as far back as a chart's. */
  #held(symbol: string, interval: string, limit: number): Held | null {
    const [streamed, cached] = [this.#streamed.held(symbol, interval), this.#cache.get(symbol, interval)];
    return streamed === null || (streamed.asked < limit && cached !== null) ? cached : streamed;
  }

  #bound(limit: number): number {
    return Math.min(limit, this.#streamed.most());
  }

  #fresh(held: Held): boolean {
    return Date.now() - held.at <= this.#ttlMs;
  }

  #used(symbol: string, interval: string, held: Held): void {
    if (held.ahead !== true) return;
    this.#prefetchUsed += 1;
    this.#cache.put(symbol, interval, { ...held, ahead: false });
  }

  /** One request in flight a series and depth; who comes later waits for the same one. */
  #read(symbol: string, interval: string, limit: number): Promise<Held> {
    const key = `${symbol}/${interval}/${limit}`;
    const running = this.#inFlight.get(key);
    if (running !== undefined) {
      this.#counts.joined += 1;
      return running;
    }
    const reading = this.#ask({ symbol, interval, limit: this.#bound(limit) })
      .then(({ klines, stale }) => {
        const held: Held = { klines, asked: limit, at: Date.now(), stale };
        this.#cache.put(symbol, interval, held);
        return held;
      })
      .finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, reading);
    return reading;
  }

  /** Asks again where that may help, unless the circuit is open. */
  async #ask(query: KlinesQuery): Promise<KlinesAnswer> {
    for (let failures = 0; ; failures += 1) {
      if (!this.#breaker.admits(Date.now())) {
        throw new HttpError(
          UNAVAILABLE,
          "CIRCUIT_OPEN",
          "The gateway failed several times; it is left alone for a while.",
        );
      }
      this.#counts.requests += 1;
      try {
        const answer = await fetchKlines(this.#url, query, { fetch: this.#fetch, token: this.#token() });
        this.#settle(true);
        return answer;
      } catch (error) {
        // A refusal is an answer: the gateway is well.
        this.#settle(refused(error));
        if (refused(error) || failures >= RETRIES) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, backoffMs(failures, Math.random())));
    }
  }

  #settle(well: boolean): void {
    this.#failing = !well;
    if (well) this.#breaker.succeeded();
    else {
      this.#counts.failures += 1;
      this.#breaker.failed(Date.now());
    }
  }
}

/** The gateway is well and says no: asking again at once changes nothing. */
function refused(error: unknown): error is HttpError {
  return error instanceof HttpError && error.status >= 400 && error.status < 500;
}
