// What the page says above the chart while its prices are not live, and how much of the page is old. Pure.

import type { FreshnessReason, StaleReason } from "kline-gateway-client";

export interface OutageInput {
  readonly why: FreshnessReason;
  /** Why the gateway says that the market's data is old. */
  readonly reason: StaleReason | null;
  /** Until the next attempt to connect, ms; `null`: none is waited for. */
  readonly retryInMs: number | null;
  /** Candles come over HTTP every few seconds. */
  readonly polled: boolean;
}

export interface Outage {
  /** "": nothing is to be said. */
  readonly text: string;
  /** Whether one can do something about it: connect now. */
  readonly retry: boolean;
  /** `market`: the prices of the market shown are old; `all`: those of the list too. */
  readonly old: "none" | "market" | "all";
}

const LIVE: Outage = { text: "", retry: false, old: "none" };

const SOURCE: Record<StaleReason, Pick<Outage, "text" | "old">> = {
  redis: { text: "The gateway has lost its data source (Redis). Prices continue when it is back.", old: "all" },
  repair: { text: "The gateway is reading what it missed.", old: "all" },
  silent: { text: "The gateway gets no new data at present.", old: "all" },
  malformed: { text: "The gateway gets data that it cannot read.", old: "all" },
  prices: { text: "The gateway gets no prices at present.", old: "all" },
  klines: { text: "New candles are overdue.", old: "market" },
  symbol: { text: "This market has not moved for long. It may be halted.", old: "market" },
  store: { text: "The gateway cannot read its history at present.", old: "market" },
};

export function outageOf({ why, reason, retryInMs, polled }: OutageInput): Outage {
  if (why === "stale") return { ...(SOURCE[reason ?? "silent"] ?? SOURCE.silent), retry: false };
  if (why === "refused") return { text: "The gateway refused the connection.", retry: true, old: "all" };
  if (why !== "reconnecting" && why !== "offline") return LIVE;
  const what = polled ? "No live connection: the chart is updated every few seconds." : "The connection is lost.";
  const next = retryInMs === null ? "Connecting …" : `Next attempt in ${Math.max(1, Math.ceil(retryInMs / 1_000))} s.`;
  return { text: `${what} ${next}`, retry: true, old: "all" };
}
