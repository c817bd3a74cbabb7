// When there is nothing to show and waiting does not help: an error that names the market. Pure.

import type { SeriesStatus } from "../client/index.ts";

/** What a component shows of a market's status; its age is no part of it, since it changes all the time. */
export type MarketStatus = Omit<SeriesStatus, "dataAgeMs">;

export const LOADING: MarketStatus = { level: "yellow", why: "loading" };

/** The gateway does not serve this market, or refuses the connection. `code` is the gateway's, or `REFUSED`. */
export class MarketDataError extends Error {
  override readonly name = "MarketDataError";
  readonly code: string;
  readonly symbol: string;
  readonly interval: string | null;

  constructor(code: string, message: string, symbol: string, interval: string | null) {
    super(message);
    this.code = code;
    this.symbol = symbol;
    this.interval = interval;
  }
}

/** The client asks for these again by itself. */
const TEMPORARY: ReadonlySet<string> = new Set(["UNAVAILABLE", "RATE_LIMIT"]);

/** The error of a status, or `null` if the client goes on by itself. `empty`: there is nothing to show. */
export function errorOf(
  { why, error }: MarketStatus,
  symbol: string,
  interval: string | null,
  empty: boolean,
): MarketDataError | null {
  if (error !== undefined && !TEMPORARY.has(error.code)) {
    return new MarketDataError(error.code, error.message, symbol, interval);
  }
  // What is on the screen stays: its status says how old it is.
  if (why !== "refused" || !empty) return null;
  return new MarketDataError("REFUSED", "The gateway refused the connection.", symbol, interval);
}

/** Without its age; the same object while a market loads. */
export function statusOf({ dataAgeMs: _, ...status }: SeriesStatus): MarketStatus {
  return status.why === "loading" ? LOADING : status;
}
