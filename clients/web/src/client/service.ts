// One object for an application: history through a cache, updates through one socket, and the status of both.
// It joins reader, stream and prefetcher, and holds no klines itself.

import { streamAddress } from "./address.ts";
import type { KlineEvent } from "./channel.ts";
import type { Rates } from "./commands.ts";
import type { SocketConstructor } from "./connection.ts";
import { allKlines, missingKlines, newestKline, type Series, seriesOf } from "./fold.ts";
import type { KlinesAnswer, KlinesPage } from "./history.ts";
import { type Correlations, type Learned, Predictor } from "./predictor.ts";
import { Prefetcher, type PrefetchOptions } from "./prefetch.ts";
import { type Klines, LIMIT, Reader, type ReaderOptions } from "./reader.ts";
import type { CacheStats } from "./stats.ts";
import { type SeriesStatus, StatusWatch } from "./status.ts";
import { KlineStream, type Subscription } from "./stream.ts";
import type { Kline, Ticker } from "./types.ts";

export interface ServiceOptions extends ReaderOptions, Rates {
  /** Default: the environment's own. */
  readonly WebSocket?: SocketConstructor;
  /** `false`: no prefetch. */
  readonly prefetch?: PrefetchOptions | false;
  readonly correlations?: Correlations;
  /** A former value of `service.learned`. */
  readonly learned?: Learned;
}

export interface SubscribeOptions {
  /** Closed klines to begin with. Default 0. */
  readonly history?: number;
  /**
   * Draw everything again: at the beginning, after a gap that was too long, after a correction. Without it, `onKline`
   * gets the requested history, and later only klines that are not older than its last one.
   */
  readonly onReset?: (klines: readonly Kline[]) => void;
}

/** A market that was viewed, and since when (wall clock, ms). */
export interface Visit {
  readonly at: number;
  readonly symbol: string;
  readonly interval: string;
}

const VISITS_KEPT = 1_000;

export class KlineDataService {
  readonly stream: KlineStream;
  readonly #reader: Reader;
  readonly #predictor: Predictor;
  readonly #prefetcher: Prefetcher;
  readonly #statuses: StatusWatch;
  readonly #visits: Visit[] = [];
  /** The series of cached klines, so that each is one object. */
  readonly #peeked = new WeakMap<readonly Kline[], Series>();

  constructor(options: ServiceOptions) {
    this.#reader = new Reader(options, {
      current: (symbol, interval) => this.stream.current(symbol, interval),
      maxKlines: () => this.#maxKlines(),
      // Before the first connection, and while nothing needs one, the stream cannot be out of date.
      unavailable: () => {
        const { lastMessageAt, phase } = this.stream.info;
        return lastMessageAt > 0 && phase !== "open" && phase !== "idle";
      },
    });
    this.stream = new KlineStream({
      url: () => streamAddress(options.url),
      store: this.#reader,
      ...(options.WebSocket && { WebSocket: options.WebSocket }),
      ...(options.token && { token: options.token }),
      ...(options.maxRate !== undefined && { maxRate: options.maxRate }),
      ...(options.latencyMs !== undefined && { latencyMs: options.latencyMs }),
    });
    this.#predictor = new Predictor(options.correlations, options.learned);
    this.#prefetcher = new Prefetcher(
      this.#predictor,
      {
        // What one looks at goes first.
        isBusy: () => {
          const last = this.#visits.at(-1);
          return last !== undefined && this.stream.awaits(last.symbol, last.interval);
        },
        isUseless: (symbol, interval) => this.stream.stale || this.#reader.isUseless(symbol, interval),
        fetch: (symbol, interval) => this.#reader.prefetch(symbol, interval),
      },
      options.prefetch || {},
    );
    this.#prefetcher.enabled = options.prefetch !== false;
    this.#statuses = new StatusWatch(this.stream);
  }

  /**
   * The newest klines: at once if they are cached, marked `stale` if they may be out of date.
   * Rejects with `HttpError` (the gateway's code) or `TypeError` (no answer) if nothing is cached.
   */
  fetchKlines(symbol: string, interval: string, limit = LIMIT): Promise<Klines> {
    return this.#reader.klines(symbol, interval, limit);
  }

  /** Caches an answer that was fetched before the service existed, so that a chart can begin with it. */
  preload(answer: KlinesAnswer, requested = LIMIT): void {
    this.#reader.save(answer.symbol, answer.interval, {
      klines: answer.klines,
      requested,
      at: Date.now(),
      stale: answer.stale,
    });
  }

  /** Several series at once. A series that fails has its error in the map; the others are not affected. */
  async fetchMultipleKlines(
    symbols: readonly string[],
    interval: string,
    limit = LIMIT,
  ): Promise<ReadonlyMap<string, Klines | Error>> {
    const read = async (symbol: string) =>
      [symbol, await this.fetchKlines(symbol, interval, limit).catch((error: Error) => error)] as const;
    return new Map(await Promise.all(symbols.map(read)));
  }

  /**
   * The last closed klines that opened before a time (ms), for scrolling back; `end`: the data begins there. Not cached.
   * Rejects with `HttpError` or `TypeError`.
   */
  fetchOlder(symbol: string, interval: string, before: number, limit = LIMIT): Promise<KlinesPage> {
    return this.#reader.older(symbol, interval, before, limit);
  }

  /** The first closed klines that opened after a time (ms), for scrolling forward again; otherwise as `fetchOlder`. */
  fetchNewer(symbol: string, interval: string, after: number, limit = LIMIT): Promise<KlinesPage> {
    return this.#reader.newer(symbol, interval, after, limit);
  }

  /** Every kline in order, none older than the last; returns a function that unsubscribes. Subscriptions to the same series share a channel. */
  subscribe(
    symbol: string,
    interval: string,
    onKline: (kline: Kline) => void,
    onStatus?: (status: SeriesStatus) => void,
    { history = 0, onReset }: SubscribeOptions = {},
  ): () => void {
    let last: number | null = null;
    const push = (kline: Kline): void => {
      if (last !== null && kline.openTime < last) return;
      last = kline.openTime;
      onKline(kline);
    };
    const take = (event: KlineEvent): void => {
      if (event.kind === "status") {
        this.#statuses.check();
      } else if (event.kind === "klines") {
        event.klines.forEach(push);
      } else if (onReset !== undefined) {
        last = newestKline(event.series)?.openTime ?? null;
        onReset(allKlines(event.series));
      } else {
        const klines = allKlines(event.series);
        // The shared channel may have more history than this subscription asked for.
        klines.slice(last === null ? -history - 1 : 0).forEach(push);
      }
    };
    const subscription = this.stream.klines(symbol, interval, history, take);
    return this.#watched(subscription, onStatus);
  }

  /**
   * The whole series, at once if it is cached and after each change, with up to `history` closed klines to begin with; for
   * programs that keep no klines of their own. Returns a function that unsubscribes.
   */
  follow(
    symbol: string,
    interval: string,
    onSeries: (series: Series) => void,
    onStatus: (status: SeriesStatus) => void,
    history: number,
  ): () => void {
    const subscription = this.stream.klines(symbol, interval, history, (event) => {
      if (event.kind === "status") this.#statuses.check();
      else onSeries(event.series);
    });
    return this.#watched(subscription, onStatus);
  }

  /** The ticker of a symbol, whole after each change; returns a function that unsubscribes. */
  ticker(symbol: string, onTicker: (ticker: Ticker) => void, onStatus?: (status: SeriesStatus) => void): () => void {
    const subscription = this.stream.ticker(symbol, (event) => {
      if (event.kind === "status") this.#statuses.check();
      else onTicker(event.ticker);
    });
    return this.#watched(subscription, onStatus);
  }

  /** What there is of a series without asking for it; the same object until it changes. `null`: nothing. */
  peek(symbol: string, interval: string): Series | null {
    const streamed = this.stream.series(symbol, interval);
    const cached = streamed === null ? this.#reader.peek(symbol, interval) : null;
    if (cached === null) return streamed;
    let series = this.#peeked.get(cached.klines);
    if (series === undefined) {
      series = seriesOf(cached.klines);
      this.#peeked.set(cached.klines, series);
    }
    return series;
  }

  /**
   * Asks over HTTP for the newest klines of a series that is subscribed to, while there is no stream: with `history` closed ones
   * where there are none yet, later with those that are missing. Subscribers get them as from the stream. Rejects with `HttpError`
   * or `TypeError`.
   */
  async poll(symbol: string, interval: string, history: number): Promise<void> {
    const limit = missingKlines(this.stream.series(symbol, interval), history, Date.now());
    this.stream.offer(await this.#reader.latest(symbol, interval, limit), history);
  }

  /** The most klines that one request returns. */
  get pageSize(): number {
    return Math.min(LIMIT, this.#maxKlines());
  }

  /** The user views this market: the service fetches the markets that are likely next in the background. */
  viewed(symbol: string, interval: string, known: readonly string[]): void {
    const last = this.#visits.at(-1);
    if (last?.symbol !== symbol || last.interval !== interval) this.#visits.push({ at: Date.now(), symbol, interval });
    if (this.#visits.length > VISITS_KEPT) this.#visits.shift();
    this.#prefetcher.viewed(symbol, interval, known);
  }

  /** The user may choose this market next, for example because the pointer rests on it. */
  hint(symbol: string, interval: string): void {
    this.#prefetcher.hint(symbol, interval);
  }

  get prefetching(): boolean {
    return this.#prefetcher.enabled;
  }

  set prefetching(on: boolean) {
    this.#prefetcher.enabled = on;
  }

  /** What was learned from this user's switches: plain data, to be passed to the next service as `learned`. */
  get learned(): Learned {
    return this.#predictor.learned;
  }

  /** The last 1,000 markets that were viewed, the latest last: a session that can be replayed. */
  get visits(): readonly Visit[] {
    return this.#visits;
  }

  get stats(): CacheStats {
    return this.#reader.stats;
  }

  /** The machine woke up, the network changed or the user pressed retry: see `KlineStream.check`; history may be asked for too. */
  check(): void {
    this.#reader.permit();
    this.stream.check();
  }

  /** Closes the connection for good. Cached klines can still be read. */
  close(): void {
    this.#statuses.close();
    this.#prefetcher.close();
    this.stream.close();
  }

  #watched(subscription: Subscription, onStatus: ((status: SeriesStatus) => void) | undefined): () => void {
    const unwatch = onStatus && this.#statuses.add(subscription, onStatus);
    return () => {
      subscription.close();
      unwatch?.();
    };
  }

  #maxKlines(): number {
    return this.stream.info.hello?.limits.history_max ?? Number.POSITIVE_INFINITY;
  }
}
