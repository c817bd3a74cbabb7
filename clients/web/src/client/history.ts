// Stored klines and the lists of symbols and intervals, over HTTP. One function per path.

import { addressOf } from "./address.ts";
import type { Kline } from "./types.ts";

export interface KlinesQuery {
  readonly symbol: string;
  readonly interval: string;
  readonly limit?: number;
  /** The oldest open time wanted, ms: the first `limit` klines from there on. */
  readonly startTime?: number;
  /** The newest open time wanted, ms: without `startTime` the last `limit` klines up to there. */
  readonly endTime?: number;
}

export interface KlinesAnswer {
  readonly symbol: string;
  readonly interval: string;
  /** Ascending and without a gap the source does not have; the last one may be forming (`isClosed` false). */
  readonly klines: readonly Kline[];
  readonly stale: boolean;
  /** Aggregated from shorter klines: the source has none of this interval. */
  readonly derived?: boolean;
  /** Open times that are missing between the klines. */
  readonly gaps?: readonly { readonly from: number; readonly to: number }[];
}

/** Closed klines before or after a given one. */
export interface KlinesPage {
  /** Ascending by open time. */
  readonly klines: readonly Kline[];
  /**
   * The gateway has said that there is nothing further in this direction: it had no such kline, and its source was not
   * disconnected. A page with fewer klines than asked for is no such word.
   */
  readonly end: boolean;
}

export interface Markets {
  readonly symbols: readonly string[];
  readonly intervals: readonly string[];
}

export interface FetchOptions {
  readonly signal?: AbortSignal;
  readonly fetch?: typeof globalThis.fetch;
  /** Needed if the gateway asks for one. */
  readonly token?: string | null;
}

/** The gateway answered with an error, or the answer is not the gateway's. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** `GET /v1/klines`; `base` is the gateway's address. */
export async function fetchKlines(base: string, query: KlinesQuery, options: FetchOptions = {}): Promise<KlinesAnswer> {
  const url = addressOf("v1/klines", base);
  url.searchParams.set("symbol", query.symbol);
  url.searchParams.set("interval", query.interval);
  if (query.limit !== undefined) url.searchParams.set("limit", String(query.limit));
  if (query.startTime !== undefined) url.searchParams.set("startTime", String(query.startTime));
  if (query.endTime !== undefined) url.searchParams.set("endTime", String(query.endTime));
  return (await get(url, options)) as unknown as KlinesAnswer;
}

/** `GET /v1/symbols`: what there is to subscribe to. */
export async function fetchMarkets(base: string, options: FetchOptions = {}): Promise<Markets> {
  return (await get(addressOf("v1/symbols", base), options)) as unknown as Markets;
}

async function get(
  url: URL,
  { signal, fetch = globalThis.fetch, token }: FetchOptions,
): Promise<Record<string, unknown>> {
  const headers = { accept: "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(url, { headers, ...(signal && { signal }) });
  const body: unknown = await response.json().catch(() => null);
  if (typeof body !== "object" || body === null) {
    throw new HttpError(
      response.status,
      "BAD_ANSWER",
      `The answer (HTTP status ${response.status}) is not the gateway's.`,
    );
  }
  const answer = body as Record<string, unknown>;
  if (!response.ok) throw new HttpError(response.status, String(answer["code"]), String(answer["error"]));
  return answer;
}
