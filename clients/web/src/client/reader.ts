// History through a cache: answers at once from the cache, has one request per series in flight, and returns old klines
// while the gateway is unavailable. It knows no stream; the `StreamState` tells it which series are streamed.

import { backoffMs } from "./backoff.ts";
import { Breaker } from "./breaker.ts";
import { type CachedSeries, SeriesCache } from "./cache.ts";
import { fetchKlines, HttpError, type KlinesAnswer, type KlinesPage, type KlinesQuery } from "./history.ts";
import { type CacheStats, Stopwatch } from "./stats.ts";
import type { Kline } from "./types.ts";

export interface Klines {
  readonly symbol: string;
  readonly interval: string;
  /** Ascending by open time; the last one may be forming. */
  readonly klines: readonly Kline[];
  /** Answered without waiting for the gateway. */
  readonly cached: boolean;
  /** May be out of date: the gateway or its source is unavailable, or a refresh is running. */
  readonly stale: boolean;
  /** Time since the gateway sent them. */
  readonly ageMs: number;
}

export interface ReaderOptions {
  /** The gateway's address. */
  readonly url: string;
  readonly fetch?: typeof globalThis.fetch;
  /** Called for each request and connection, so that the token may change. */
  readonly token?: () => string | null;
  /** Symbols in the cache. Default 100. */
  readonly maxSymbols?: number;
  /** How long an answer counts as fresh. Default 60 s. */
  readonly ttlMs?: number;
}

export interface StreamState {
  /** The stream's current series, if it has one. */
  current(symbol: string, interval: string): CachedSeries | null;
  /** The stream is disconnected: cached klines may be out of date. */
  unavailable(): boolean;
  /** The most klines the gateway returns at a time; infinite before it has said so. */
  maxKlines(): number;
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
  readonly #streamed: StreamState;
  readonly #cache: SeriesCache;
  readonly #breaker = new Breaker();
  readonly #inFlight = new Map<string, Promise<CachedSeries>>();
  readonly #cached = new Stopwatch();
  readonly #fetched = new Stopwatch();
  readonly #counts = { hits: 0, staleHits: 0, misses: 0, joined: 0, requests: 0, failures: 0 };
  #prefetched = 0;
  #prefetchUsed = 0;
  #failing = false;

  constructor(
    { url, fetch = globalThis.fetch, token = () => null, maxSymbols = 100, ttlMs = 60_000 }: ReaderOptions,
    streamed: StreamState,
  ) {
    this.#token = token;
    this.#url = url;
    this.#fetch = (...request) => fetch(...request);
    this.#ttlMs = ttlMs;
    this.#streamed = streamed;
    this.#cache = new SeriesCache(maxSymbols);
  }

  /** The newest `limit` klines. Rejects with `HttpError` or `TypeError` if the gateway fails and nothing is cached. */
  async klines(symbol: string, interval: string, limit: number): Promise<Klines> {
    const startedAt = performance.now();
    const entry = this.#find(symbol, interval, limit);
    const answer = (found: CachedSeries, cached: boolean, stale: boolean): Klines => {
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
    if (entry !== null && entry.requested >= limit) {
      this.#used(symbol, interval, entry);
      const fresh = this.#fresh(entry);
      this.#counts[fresh ? "hits" : "staleHits"] += 1;
      // The caller has its answer already: an error of the refresh is of no use to it.
      if (!fresh) this.#read(symbol, interval, entry.requested).catch(() => {});
      return answer(entry, true, !fresh || this.unavailable);
    }
    this.#counts.misses += 1;
    try {
      return answer(await this.#read(symbol, interval, limit), false, false);
    } catch (error) {
      // A rate limit does not make the cached klines wrong.
      if (entry === null || (refused(error) && error.status !== TOO_MANY)) throw error;
      return answer(entry, true, true);
    }
  }

  /** The newest klines, from the gateway and not cached: for a chart that polls while there is no stream. */
  latest(symbol: string, interval: string, limit: number): Promise<KlinesAnswer> {
    return this.#ask({ symbol, interval, limit: this.#bound(limit) });
  }

  /** Closed klines that opened before a time, ms, for scrolling back. Not cached: they are rarely needed twice. */
  async older(symbol: string, interval: string, before: number, limit: number): Promise<KlinesPage> {
    return page(await this.#ask({ symbol, interval, limit: this.#bound(limit), endTime: before - 1 }));
  }

  /** The first closed klines that opened after a time, ms. Not cached. */
  async newer(symbol: string, interval: string, after: number, limit: number): Promise<KlinesPage> {
    return page(await this.#ask({ symbol, interval, limit: this.#bound(limit), startTime: after + 1 }));
  }

  /** The user asks again: the next requests are sent, even where the gateway has just failed several times. */
  permit(): void {
    this.#breaker.permit();
  }

  /** Fills the cache in advance. */
  async prefetch(symbol: string, interval: string): Promise<void> {
    await this.#read(symbol, interval, LIMIT);
    const entry = this.#cache.peek(symbol, interval);
    if (entry !== null) this.#cache.put(symbol, interval, { ...entry, prefetched: true });
    this.#prefetched += 1;
  }

  /** Whether a prefetch is useless: the series is fresh, or the gateway is unavailable. */
  isUseless(symbol: string, interval: string): boolean {
    const entry = this.#streamed.current(symbol, interval) ?? this.#cache.peek(symbol, interval);
    return this.unavailable || (entry !== null && this.#fresh(entry));
  }

  /** For the stream: a cached series to continue from, if it has enough klines. */
  load(symbol: string, interval: string, history: number): CachedSeries | null {
    const entry = this.#cache.get(symbol, interval);
    if (entry === null || entry.requested < history || entry.klines.length === 0) return null;
    this.#used(symbol, interval, entry);
    return entry;
  }

  /** What is cached, without counting as a use; the same object until it changes. */
  peek(symbol: string, interval: string): CachedSeries | null {
    return this.#cache.peek(symbol, interval);
  }

  /** For the stream: caches a series that has no listener any more. */
  save(symbol: string, interval: string, entry: CachedSeries): void {
    this.#cache.put(symbol, interval, entry);
  }

  /** Whether cached klines may be out of date because the gateway or the stream is unavailable. */
  get unavailable(): boolean {
    return this.#failing || this.#streamed.unavailable();
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

  /** The stream's series is the newest, but may have fewer klines than the cached one. */
  #find(symbol: string, interval: string, limit: number): CachedSeries | null {
    const [streamed, cached] = [this.#streamed.current(symbol, interval), this.#cache.get(symbol, interval)];
    return streamed === null || (streamed.requested < limit && cached !== null) ? cached : streamed;
  }

  #bound(limit: number): number {
    return Math.min(limit, this.#streamed.maxKlines());
  }

  #fresh(entry: CachedSeries): boolean {
    return Date.now() - entry.at <= this.#ttlMs;
  }

  #used(symbol: string, interval: string, entry: CachedSeries): void {
    if (entry.prefetched !== true) return;
    this.#prefetchUsed += 1;
    this.#cache.put(symbol, interval, { ...entry, prefetched: false });
  }

  /** One request per series and limit is in flight; later callers wait for the same one. */
  #read(symbol: string, interval: string, limit: number): Promise<CachedSeries> {
    const key = `${symbol}/${interval}/${limit}`;
    const running = this.#inFlight.get(key);
    if (running !== undefined) {
      this.#counts.joined += 1;
      return running;
    }
    const reading = this.#ask({ symbol, interval, limit: this.#bound(limit) })
      .then(({ klines, stale }) => {
        const entry: CachedSeries = { klines, requested: limit, at: Date.now(), stale };
        this.#cache.put(symbol, interval, entry);
        return entry;
      })
      .finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, reading);
    return reading;
  }

  /** Retries if that may help, unless the circuit is open. */
  async #ask(query: KlinesQuery): Promise<KlinesAnswer> {
    for (let failures = 0; ; failures += 1) {
      if (!this.#breaker.admits(Date.now())) {
        throw new HttpError(
          UNAVAILABLE,
          "CIRCUIT_OPEN",
          "The gateway failed several times; no request is sent for a while. Retry later.",
        );
      }
      this.#counts.requests += 1;
      try {
        const answer = await fetchKlines(this.#url, query, { fetch: this.#fetch, token: this.#token() });
        this.#settle(true);
        return answer;
      } catch (error) {
        // A rejection shows that the gateway works.
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

function page({ klines, stale }: KlinesAnswer): KlinesPage {
  return { klines: klines.filter(({ isClosed }) => isClosed), end: klines.length === 0 && !stale };
}

/** Whether the gateway works and rejects the request: an immediate retry cannot succeed. */
function refused(error: unknown): error is HttpError {
  return error instanceof HttpError && error.status >= 400 && error.status < 500;
}
