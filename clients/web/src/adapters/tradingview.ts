// A datafeed for TradingView's Advanced Charts: symbols from the gateway's UDF, bars from the cache and the stream.
// Written against the documented Datafeed API; the library itself is not public and not needed here.

import { addressOf } from "../client/address.ts";
import type { Kline, KlineDataService } from "../client/index.ts";
import { follow } from "./follow.ts";

/** Times are ms since the epoch; everywhere but in bars the library uses seconds. */
export interface Bar {
  time: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

export interface PeriodParams {
  /** Seconds. */
  readonly from: number;
  /** Seconds; a bar that opens then belongs to the next request. */
  readonly to: number;
  /** Outranks `from`. */
  readonly countBack: number;
  readonly firstDataRequest: boolean;
}

/** The part of `resolveSymbol`'s result that the library passes back. */
export interface SymbolInfo {
  readonly name: string;
  readonly ticker?: string;
}

export interface DatafeedOptions {
  /** The gateway's address. */
  readonly url: string;
  readonly fetch?: typeof globalThis.fetch;
  /**
   * History has changed (a gap that was too long, a correction), and the library's cache was cleared. The
   * drawing stays until the chart is reset: `widget.activeChart().resetData()`.
   */
  readonly onReset?: () => void;
}

const SECOND_MS = 1_000;
const MONTH = /^\d*M$/;

export function datafeed(service: KlineDataService, { url, fetch = globalThis.fetch, onReset }: DatafeedOptions) {
  const stops = new Map<string, () => void>();
  /** Open time of the newest bar the library was given, by series. */
  const given = new Map<string, number>();
  const ask = async <Answer>(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<Answer> => {
    const requested = addressOf(`udf/${path}`, url);
    for (const [name, value] of Object.entries(parameters)) requested.searchParams.set(name, value);
    const response = await fetch(requested);
    const answer = (await response.json()) as Answer & { readonly s?: string; readonly errmsg?: string };
    if (answer.s === "error") throw new Error(answer.errmsg);
    return answer;
  };
  const seriesOf = (symbol: SymbolInfo, resolution: string): readonly [symbol: string, interval: string] => [
    symbol.ticker ?? symbol.name,
    intervalOf(resolution),
  ];

  return {
    /** The library requires an asynchronous answer; one from the network always is. */
    onReady(callback: (configuration: object) => void): void {
      ask<object>("config").then(callback, () => setTimeout(() => this.onReady(callback), SECOND_MS));
    },

    searchSymbols(input: string, exchange: string, type: string, onResult: (found: object[]) => void): void {
      ask<object[]>("search", { query: input, exchange, type }).then(onResult, () => onResult([]));
    },

    resolveSymbol(name: string, onResolve: (info: object) => void, onError: (reason: string) => void): void {
      ask<object>("symbols", { symbol: name }).then(onResolve, (error: Error) => onError(error.message));
    },

    getBars(
      info: SymbolInfo,
      resolution: string,
      { to, countBack, firstDataRequest }: PeriodParams,
      onResult: (bars: Bar[], meta: { noData: boolean }) => void,
      onError: (reason: string) => void,
    ): void {
      const [symbol, interval] = seriesOf(info, resolution);
      const read = async (): Promise<Bar[]> => {
        const bars = firstDataRequest
          ? (await service.fetchKlines(symbol, interval)).klines.filter((bar) => bar.openTime < to * SECOND_MS)
          : [];
        const newest = bars.at(-1);
        if (newest !== undefined) given.set(`${symbol}/${interval}`, newest.openTime);
        let all = bars;
        for (let more = true; more && all.length < countBack; ) {
          const before = all[0]?.openTime ?? to * SECOND_MS;
          const { klines } = await service.fetchOlder(symbol, interval, before, service.pageSize);
          all = [...klines, ...all];
          more = klines.length > 0;
        }
        return all.map(bar);
      };
      read().then(
        (bars) => onResult(bars, { noData: bars.length === 0 }),
        (error: Error) => onError(error.message),
      );
    },

    subscribeBars(
      info: SymbolInfo,
      resolution: string,
      onTick: (bar: Bar) => void,
      listener: string,
      onResetCacheNeeded: () => void,
    ): void {
      const [symbol, interval] = seriesOf(info, resolution);
      const key = `${symbol}/${interval}`;
      const followed = { symbol, interval, history: service.pageSize, given: given.get(key) ?? null };
      stops.set(
        listener,
        follow(
          service,
          followed,
          (kline) => {
            given.set(key, kline.openTime);
            onTick(bar(kline));
          },
          () => {
            onResetCacheNeeded();
            onReset?.();
          },
        ),
      );
    },

    unsubscribeBars(listener: string): void {
      stops.get(listener)?.();
      stops.delete(listener);
    },

    /** Seconds, by the gateway's clock. */
    getServerTime(callback: (seconds: number) => void): void {
      setTimeout(() => callback(Math.floor((Date.now() + service.stream.info.clockOffsetMs) / SECOND_MS)), 0);
    },
  };
}

/** `60` -> `1h`, `D` -> `1d`, `1S` -> `1s`: minutes have no unit. */
export function intervalOf(resolution: string): string {
  const count = Number.parseInt(resolution, 10) || 1;
  if (/^\d+$/.test(resolution)) return count % 60 === 0 ? `${count / 60}h` : `${count}m`;
  return MONTH.test(resolution) ? `${count}M` : `${count}${resolution.slice(-1).toLowerCase()}`;
}

function bar({ openTime, open, high, low, close, volume }: Kline): Bar {
  return { time: openTime, open, high, low, close, volume };
}
