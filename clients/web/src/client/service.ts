// One object for an application: the past through a cache, the present through one socket, and how far to trust both.
// It joins reader, stream and prefetcher, and holds no bars itself.

import type { ChannelStatus, KlineEvent } from "./channel.ts";
import { allBars, newestBar } from "./fold.ts";
import { type Freshness, freshness } from "./freshness.ts";
import type { KlinesAnswer } from "./history.ts";
import type { SocketConstructor } from "./link.ts";
import { type Correlations, type Learned, Predictor } from "./predictor.ts";
import { Prefetcher, type PrefetchOptions } from "./prefetch.ts";
import { type Klines, LIMIT, Reader, type ReaderOptions } from "./reader.ts";
import type { CacheStats } from "./stats.ts";
import { KlineStream } from "./stream.ts";
import type { ChannelError, Kline, StaleReason } from "./types.ts";

export interface ServiceOptions extends ReaderOptions {
  /** Default: the environment's own. */
  readonly WebSocket?: SocketConstructor;
  /** `false`: nothing is fetched in advance. */
  readonly prefetch?: PrefetchOptions | false;
  readonly correlations?: Correlations;
  /** What `service.learned` said last time. */
  readonly learned?: Learned;
}

/** Green, yellow or red, why, and how old the newest data is. */
export interface SeriesStatus extends Freshness {
  /** Since the series' last news; `null`: nothing has come yet. */
  readonly dataAgeMs: number | null;
  readonly reason?: StaleReason;
  readonly error?: ChannelError;
}

export interface SubscribeOptions {
  /** Closed klines to begin with. Default 0. */
  readonly history?: number;
  /**
   * Draw everything anew: at the beginning, after a gap that was too long, after a correction. Without it, `onBar` gets
   * the history asked for, and later what is not older than the last bar it was given.
   */
  readonly onReset?: (bars: readonly Kline[]) => void;
}

/** What somebody looked at, and since when (wall clock, ms). */
export interface Visit {
  readonly at: number;
  readonly symbol: string;
  readonly interval: string;
}

const CLOCK_MS = 1_000;
const VISITS_KEPT = 1_000;

interface Watched {
  readonly channel: () => { readonly heardAt: number; readonly status: ChannelStatus };
  readonly tell: (status: SeriesStatus) => void;
  told: string;
}

export class KlineDataService {
  readonly stream: KlineStream;
  readonly #reader: Reader;
  readonly #predictor: Predictor;
  readonly #prefetcher: Prefetcher;
  readonly #watched = new Set<Watched>();
  readonly #visits: Visit[] = [];
  readonly #stopLink: () => void;
  #clock: ReturnType<typeof setInterval> | undefined;

  constructor(options: ServiceOptions) {
    this.#reader = new Reader(options, {
      held: (symbol, interval) => this.stream.held(symbol, interval),
      most: () => this.#most(),
      // Before the first connection there is nothing to have lost.
      away: () => this.stream.info.heardAt > 0 && this.stream.info.phase !== "open",
    });
    const url = new URL("v1/stream", options.url);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.stream = new KlineStream({
      url: url.href,
      shelf: this.#reader,
      ...(options.WebSocket && { WebSocket: options.WebSocket }),
      ...(options.token && { token: options.token }),
    });
    this.#predictor = new Predictor(options.correlations, options.learned);
    this.#prefetcher = new Prefetcher(
      this.#predictor,
      {
        pointless: (symbol, interval) => this.stream.stale || this.#reader.pointless(symbol, interval),
        fetch: (symbol, interval) => this.#reader.ahead(symbol, interval),
      },
      options.prefetch || {},
    );
    this.#prefetcher.enabled = options.prefetch !== false;
    this.#stopLink = this.stream.onLink(() => this.#watch());
  }

  /**
   * The newest klines: at once where they are held, marked `stale` where they cannot be vouched for.
   * Rejects with `HttpError` (the gateway's code) or `TypeError` (out of reach) where nothing is held.
   */
  fetchKlines(symbol: string, interval: string, limit = LIMIT): Promise<Klines> {
    return this.#reader.klines(symbol, interval, limit);
  }

  /** Takes an answer that was fetched before the service was there, as if it had asked: a chart can begin with it. */
  take(answer: KlinesAnswer, asked = LIMIT): void {
    this.#reader.keep(answer.symbol, answer.interval, {
      klines: answer.klines,
      asked,
      at: Date.now(),
      stale: answer.stale,
    });
  }

  /** Several at once. One that fails does not disturb the others: its place holds the error. */
  async fetchMultipleKlines(
    symbols: readonly string[],
    interval: string,
    limit = LIMIT,
  ): Promise<ReadonlyMap<string, Klines | Error>> {
    const read = async (symbol: string) =>
      [symbol, await this.fetchKlines(symbol, interval, limit).catch((error: Error) => error)] as const;
    return new Map(await Promise.all(symbols.map(read)));
  }

  /** Klines up to an open time, for somebody who scrolls back. Not cached. */
  fetchOlder(symbol: string, interval: string, endTime: number, limit = LIMIT): Promise<readonly Kline[]> {
    return this.#reader.older(symbol, interval, endTime, limit);
  }

  /** Every bar in order, none older than the last; returns how to stop it. Same series, same channel: it is shared. */
  subscribe(
    symbol: string,
    interval: string,
    onBar: (bar: Kline) => void,
    onStatus?: (status: SeriesStatus) => void,
    { history = 0, onReset }: SubscribeOptions = {},
  ): () => void {
    let last: number | null = null;
    const push = (bar: Kline): void => {
      if (last !== null && bar.openTime < last) return;
      last = bar.openTime;
      onBar(bar);
    };
    const take = (event: KlineEvent): void => {
      if (event.kind === "status") {
        this.#watch();
      } else if (event.kind === "bars") {
        event.bars.forEach(push);
      } else if (onReset !== undefined) {
        last = newestBar(event.series)?.openTime ?? null;
        onReset(allBars(event.series));
      } else {
        const bars = allBars(event.series);
        // What is shared may reach further back than was asked for here.
        bars.slice(last === null ? -history - 1 : 0).forEach(push);
      }
    };
    const subscription = this.stream.klines(symbol, interval, history, take);
    const watched: Watched | null = onStatus ? { channel: () => subscription, tell: onStatus, told: "" } : null;
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

  /** The most klines to be had at a time. */
  get page(): number {
    return Math.min(LIMIT, this.#most());
  }

  /** Somebody looks at this market now: what is likely to follow is fetched in the background. */
  looked(symbol: string, interval: string, known: readonly string[]): void {
    const last = this.#visits.at(-1);
    if (last?.symbol !== symbol || last.interval !== interval) this.#visits.push({ at: Date.now(), symbol, interval });
    if (this.#visits.length > VISITS_KEPT) this.#visits.shift();
    this.#prefetcher.looked(symbol, interval, known);
  }

  /** Somebody is about to choose this market. */
  hint(symbol: string, interval: string): void {
    this.#prefetcher.hint(symbol, interval);
  }

  get prefetching(): boolean {
    return this.#prefetcher.enabled;
  }

  set prefetching(on: boolean) {
    this.#prefetcher.enabled = on;
  }

  /** What was learned of this user's switches: plain data, to be given back next time. */
  get learned(): Learned {
    return this.#predictor.learned;
  }

  /** The last 1,000 things that were looked at, the latest last: a session that can be replayed. */
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

  /** Ends for good. What is held can still be read. */
  close(): void {
    this.#stopLink();
    clearInterval(this.#clock);
    this.#prefetcher.close();
    this.stream.close();
  }

  #most(): number {
    return this.stream.info.hello?.limits.history_max ?? Number.POSITIVE_INFINITY;
  }

  /** Ages change with time alone, so this is called by a clock as well as by events. */
  #watch(): void {
    const now = Date.now();
    const { phase, heardAt } = this.stream.info;
    for (const watched of this.#watched) {
      const channel = watched.channel();
      const dataAgeMs = channel.heardAt === 0 ? null : now - channel.heardAt;
      const { state, reason, error } = channel.status;
      const fresh = freshness({ link: phase, channel: state, dataAgeMs, silenceMs: heardAt === 0 ? 0 : now - heardAt });
      const told = `${fresh.level} ${fresh.why} ${reason} ${error?.code}`;
      if (told === watched.told) continue;
      watched.told = told;
      watched.tell({ ...fresh, dataAgeMs, ...(reason && { reason }), ...(error && { error }) });
    }
  }
}
