// The page's first lines: what the first chart is made of is asked for while the rest of the code is on its way.

import { fetchKlines, fetchMarkets, type KlinesAnswer, type Markets } from "../client/history";
import { token } from "./access";
import { element, nextFrame } from "./dom";
import { drawPreview } from "./preview";
import { complete, formatHash, parseHash } from "./route";
import { applyScheme } from "./scheme";

applyScheme();

/** All the gateway stores by default. */
export const HISTORY = 500;
/** The stream brings the same: no first answer is waited for any longer. */
const PATIENCE_MS = 2_000;
const HEAD_START_MS = 150;

// Relative to the page, so that it works behind any path prefix.
export const base = document.baseURI;

async function firstKlines(): Promise<KlinesAnswer | null> {
  let route = parseHash(location.hash);
  if (route.symbol === "" || route.interval === "") {
    const { symbols, intervals } = await firstMarkets;
    route = complete(route, symbols, intervals);
    if (route.symbol === "") return null;
    history.replaceState(null, "", formatHash(route));
  }
  const signal = AbortSignal.timeout(PATIENCE_MS);
  return fetchKlines(base, { ...route, limit: HISTORY }, { signal, token: token() });
}

export const firstMarkets: Promise<Markets> = fetchMarkets(base, { token: token() });
/** `null`: it was not to be had. */
export const firstAnswer: Promise<KlinesAnswer | null> = firstKlines().catch(() => null);

// It is not followed by its like: who needs it finds out then.
firstMarkets.catch(() => {});

async function preview(): Promise<void> {
  const answer = await firstAnswer;
  if (answer === null || answer.klines.length === 0) return;
  drawPreview(element<HTMLCanvasElement>("preview"), answer.klines);
  await nextFrame();
  performance.mark("first-candles");
}

// The rest takes the processor for longer than these candles do, but does not wait for a gateway that is slow. It
// imports this file, so this file must not wait for it.
void Promise.race([preview(), new Promise((resolve) => setTimeout(resolve, HEAD_START_MS))]).then(
  () => import("./main"),
);
