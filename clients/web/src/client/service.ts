// One object for an application: history through a cache, updates through one socket, and the status of both.
// It joins reader, stream and prefetcher, and holds no klines itself.

import type { ChannelStatus, KlineEvent } from "./channel.ts";
import type { Rates } from "./commands.ts";
import type { SocketConstructor } from "./connection.ts";
import { allKlines, newestKline } from "./fold.ts";
import { type Freshness, freshness } from "./freshness.ts";
import type { KlinesAnswer } from "./history.ts";
import { type Correlations, type Learned, Predictor } from "./predictor.ts";
import { Prefetcher, type PrefetchOptions } from "./prefetch.ts";
import { type Klines, LIMIT, Reader, type ReaderOptions } from "./reader.ts";
import type { CacheStats } from "./stats.ts";
import { KlineStream } from "./stream.ts";
import type { ChannelError, Kline, StaleReason } from "./types.ts";

export interface ServiceOptions extends ReaderOptions, Rates {
  /** Default: the environment's own. */
  readonly WebSocket?: SocketConstructor;
  /** `false`: no prefetch. */
  readonly prefetch?: PrefetchOptions | false;
  readonly correlations?: Correlations;
  /** A former value of `service.learned`. */
  readonly learned?: Learned;
}

/** Green, yellow or red, why, and how old the newest data is. */
export interface SeriesStatus extends Freshness {
  /** Since the series' last message; `null`: there was none. */
  readonly dataAgeMs: number | null;
  readonly reason?: StaleReason;
  readonly error?: ChannelError;
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

const CLOCK_MS = 1_000;
const VISITS_KEPT = 1_000;

interface StatusListener {
  readonly channel: () => { readonly lastMessageAt: number; readonly status: ChannelStatus };
  readonly notify: (status: SeriesStatus) => void;
  /** Identifies the status that was sent last. */
  lastKey: string;
}

export class KlineDataService {
  readonly stream: KlineStream;
  readonly #reader: Reader;
  readonly #predictor: Predictor;
  readonly #prefetcher: Prefetcher;
  readonly #watched = new Set<StatusListener>();
  readonly #visits: Visit[] = [];
  readonly #stopConnectionEvents: () => void;
  #clock: ReturnType<typeof setInterval> | undefined;

  constructor(options: ServiceOptions) {
    this.#reader = new Reader(options, {
      current: (symbol, interval) => this.stream.current(symbol, interval),
      maxKlines: () => this.#maxKlines(),
      // Before the first connection the stream cannot be out of date.
      unavailable: () => this.stream.info.lastMessageAt > 0 && this.stream.info.phase !== "open",
    });
    const url = new URL("v1/stream", options.url);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.stream = new KlineStream({
      url: url.href,
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
        isUseless: (symbol, interval) => this.stream.stale || this.#reader.isUseless(symbol, interval),
        fetch: (symbol, interval) => this.#reader.prefetch(symbol, interval),
      },
      options.prefetch || {},
    );
    this.#prefetcher.enabled = options.prefetch !== false;
    this.#stopConnectionEvents = this.stream.onConnection(() => this.#watch());
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

  /** Klines up to an open time (ms), for scrolling back. Not cached. */
  fetchOlder(symbol: string, interval: string, endTime: number, limit = LIMIT): Promise<readonly Kline[]> {
    return this.#reader.older(symbol, interval, endTime, limit);
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
        this.#watch();
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
    const watched: StatusListener | null = onStatus
      ? { channel: () => subscription, notify: onStatus, lastKey: "" }
      : null;
    if (watched !== null) {
      this.#watched.add(watched);
      this.#clock ??= setInterval(() => this.#watch(), CLOCK_MS);
      this.#watch();
    }
    return () => {
      subscription.close();
      if (watched !== null) this.#watched.delete(watched);
      if (this.#watched.size > 0) return;
      clearInterval(this.#clock);
      this.#clock = undefined;
    };
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

  /** See `KlineStream.check`: the machine woke up, or the network changed. */
  check(): void {
    this.stream.check();
  }

  /** Closes the connection for good. Cached klines can still be read. */
  close(): void {
    this.#stopConnectionEvents();
    clearInterval(this.#clock);
    this.#prefetcher.close();
    this.stream.close();
  }

  #maxKlines(): number {
    return this.stream.info.hello?.limits.history_max ?? Number.POSITIVE_INFINITY;
  }

  /** Sends changed statuses to the listeners. A timer calls it too, because ages change without events. */
  #watch(): void {
    const now = Date.now();
    const { phase, lastMessageAt } = this.stream.info;
    for (const watched of this.#watched) {
      const channel = watched.channel();
      const dataAgeMs = channel.lastMessageAt === 0 ? null : now - channel.lastMessageAt;
      const { state, reason, error } = channel.status;
      const fresh = freshness({
        connection: phase,
        channel: state,
        dataAgeMs,
        silenceMs: lastMessageAt === 0 ? 0 : now - lastMessageAt,
      });
      const key = `${fresh.level} ${fresh.why} ${reason} ${error?.code}`;
      if (key === watched.lastKey) continue;
      watched.lastKey = key;
      watched.notify({ ...fresh, dataAgeMs, ...(reason && { reason }), ...(error && { error }) });
    }
  }
}
