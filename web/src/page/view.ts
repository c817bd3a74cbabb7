// Which face the page shows: skeleton, chart, "nothing yet" or an error one can act on. Pure.

import type { ChannelStatus, LinkPhase } from "kline-gateway-client";

export type View =
  | { readonly kind: "loading" }
  | { readonly kind: "chart" }
  | { readonly kind: "locked"; readonly title: string; readonly text: string }
  | { readonly kind: "empty"; readonly title: string; readonly text: string }
  | { readonly kind: "error"; readonly title: string; readonly text: string };

export interface ViewInput {
  readonly symbol: string;
  readonly interval: string;
  /** `locked`: a token is needed; `denied`: the one that was given does not hold. */
  readonly markets: "loading" | "ready" | "failed" | "locked" | "denied";
  readonly bars: number;
  readonly status: ChannelStatus["state"];
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly link: LinkPhase;
  /** How long nothing could be shown. */
  readonly waitedMs: number;
}

/** A first connection may take this long before the page says that something is wrong. */
export const PATIENCE_MS = 4_000;

const LOADING: View = { kind: "loading" };
const CHART: View = { kind: "chart" };

export function viewOf(input: ViewInput): View {
  // Nothing comes without one, whatever is still shown.
  if (input.markets === "locked") {
    return { kind: "locked", title: "A token is needed", text: "Whoever runs this gateway hands them out." };
  }
  if (input.markets === "denied") {
    return { kind: "locked", title: "That token does not hold", text: "It may have expired. Give another one." };
  }
  // Old bars are better than a message: the badge says how old they are.
  if (input.bars > 0) return CHART;
  if (input.link === "refused") {
    return {
      kind: "error",
      title: "The gateway refused the connection",
      text: "This page may be older than the gateway. Reload it, or try again.",
    };
  }
  if (input.status === "failed") return failed(input);
  if (input.status === "live" || input.status === "stale") {
    return {
      kind: "empty",
      title: `No candles of ${input.symbol} ${input.interval} yet`,
      text: "The first one appears here as soon as the gateway has it.",
    };
  }
  if (input.waitedMs < PATIENCE_MS) return LOADING;
  if (input.link !== "open" || input.markets === "failed") {
    return {
      kind: "error",
      title: "The gateway is out of reach",
      text: "Trying again by itself, at growing intervals.",
    };
  }
  if (input.symbol === "" && input.markets === "ready") {
    return {
      kind: "empty",
      title: "No markets yet",
      text: "The gateway is running but has not seen any market data. Is the collector writing to Redis?",
    };
  }
  return LOADING;
}

function failed({ symbol, interval, error }: ViewInput): View {
  switch (error?.code) {
    case "INVALID_SYMBOL":
      return { kind: "error", title: `No market called ${symbol}`, text: "Choose another one from the list." };
    case "INVALID_INTERVAL":
      return { kind: "error", title: `No ${interval} candles here`, text: "Choose one of the intervals above." };
    case "UNAVAILABLE":
      return { kind: "error", title: "History is out of reach just now", text: "Trying again by itself." };
    default:
      return {
        kind: "error",
        title: "This chart cannot be shown",
        text: error?.message ?? "The gateway gave no reason.",
      };
  }
}
