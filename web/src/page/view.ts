// Which view the page shows: skeleton, chart, "nothing yet" or an error with advice. Pure.

import type { ChannelStatus, ConnectionPhase } from "kline-gateway-client";

export type View =
  | { readonly kind: "loading" }
  | { readonly kind: "chart" }
  | { readonly kind: "locked"; readonly title: string; readonly text: string }
  | { readonly kind: "empty"; readonly title: string; readonly text: string }
  | { readonly kind: "error"; readonly title: string; readonly text: string };

export interface ViewInput {
  readonly symbol: string;
  readonly interval: string;
  /** `locked`: a token is needed; `denied`: the token is not valid; `sourceless`: none is known, and the source is away. */
  readonly markets: "loading" | "ready" | "failed" | "locked" | "denied" | "sourceless";
  readonly bars: number;
  readonly status: ChannelStatus["state"];
  /** Why the channel is stale. */
  readonly reason: ChannelStatus["reason"] | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly connection: ConnectionPhase;
  /** How long there has been nothing to show. */
  readonly waitedMs: number;
}

/** Time for a first connection before the page shows an error. */
export const FIRST_CONNECTION_MS = 4_000;

const LOADING: View = { kind: "loading" };
const CHART: View = { kind: "chart" };
const SOURCE_AWAY: View = {
  kind: "empty",
  title: "The data source is offline",
  text: "The gateway has lost its connection to Redis. The chart appears here as soon as that is back.",
};

export function viewOf(input: ViewInput): View {
  // Without a valid token there are no updates, even if old candles are still shown.
  if (input.markets === "locked") {
    return { kind: "locked", title: "A token is needed", text: "Ask the operator of this gateway for one." };
  }
  if (input.markets === "denied") {
    return { kind: "locked", title: "The token is not valid", text: "It may have expired. Enter another one." };
  }
  // Old candles are better than a message: the badge shows their age.
  if (input.bars > 0) return CHART;
  if (input.connection === "refused") {
    return {
      kind: "error",
      title: "The gateway refused the connection",
      text: "This page may be older than the gateway. Reload it, or try again.",
    };
  }
  if (input.status === "failed") {
    // The name may be another spelling of a market: the list says so.
    return input.markets === "loading" && input.waitedMs < FIRST_CONNECTION_MS ? LOADING : failed(input);
  }
  if (input.markets === "sourceless" || (input.status === "stale" && input.reason === "redis")) return SOURCE_AWAY;
  if (input.status === "live" || input.status === "stale") {
    return {
      kind: "empty",
      title: `No candles of ${input.symbol} ${input.interval} yet`,
      text: "The first one appears here as soon as the gateway has it.",
    };
  }
  if (input.waitedMs < FIRST_CONNECTION_MS) return LOADING;
  if (input.connection !== "open" || input.markets === "failed") {
    return {
      kind: "error",
      title: "The gateway is unavailable",
      text: "Retrying automatically, at growing intervals.",
    };
  }
  if (input.symbol === "" && input.markets === "ready") {
    return {
      kind: "empty",
      title: "No markets yet",
      text: "The gateway runs and has received no market data so far. They appear here as soon as it has some.",
    };
  }
  return LOADING;
}

function failed({ symbol, interval, error }: ViewInput): View {
  switch (error?.code) {
    case "INVALID_SYMBOL":
    case "INVALID_CHANNEL":
      return { kind: "error", title: `No market called ${symbol}`, text: "Choose another one from the list." };
    case "INVALID_INTERVAL":
      return { kind: "error", title: `No ${interval} candles here`, text: "Choose one of the intervals above." };
    case "UNAVAILABLE":
      return { kind: "error", title: "History is temporarily unavailable", text: "Retrying automatically." };
    default:
      return {
        kind: "error",
        title: "This chart cannot be shown",
        text: error?.message ?? "The gateway gave no reason.",
      };
  }
}
