// What the first chart is made of, asked for before anything else: the list of markets and the first candles.

import { fetchKlines, fetchMarkets, type KlinesAnswer, type Markets } from "kline-gateway-client/history";
import { token } from "./access";
import { complete, formatHash, parseHash } from "./route";

/** Closed klines of a chart to begin with: all that the gateway stores by default. */
export const HISTORY = 500;
/** How long the first answer is waited for: the stream may bring the same klines sooner. Later it is welcome all the same. */
export const PATIENCE_MS = 2_000;

/** The gateway's address, relative to the page: it works behind any path prefix. */
export const base = document.baseURI;

export const firstMarkets: Promise<Markets> = fetchMarkets(base, { token: token() });
/** `null`: the request failed, there is no market, or the past is asked for, not the newest candles. */
export const firstAnswer: Promise<KlinesAnswer | null> = firstKlines().catch(() => null);

// A failure is handled where the list is used; without this line the browser would report it as unhandled before.
firstMarkets.catch(() => {});

async function firstKlines(): Promise<KlinesAnswer | null> {
  let route = parseHash(location.hash);
  if (route.symbol === "" || route.interval === "") {
    const { symbols, intervals } = await firstMarkets;
    route = complete(route, symbols, intervals);
    if (route.symbol === "") return null;
    history.replaceState(null, "", formatHash(route));
  }
  if (route.at !== null) return null;
  return fetchKlines(base, { symbol: route.symbol, interval: route.interval, limit: HISTORY }, { token: token() });
}
