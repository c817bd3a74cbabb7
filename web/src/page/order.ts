// The order of the list of markets: favourites first, then as somebody has chosen; by itself well-known ones before the rest,
// which is by name. Pure.

import { CORRELATIONS } from "kline-gateway-client";
import type { Preferences } from "./preferences";

const WELL_KNOWN = new Map(Object.keys(CORRELATIONS).map((base, rank) => [base, rank]));
const QUOTES = ["USDT", "USDC", "USD"];

export interface Order extends Pick<Preferences, "sort" | "favourites"> {
  /** The last 24 hours' change in percent, as far as it is known. */
  changeOf(symbol: string): number | undefined;
}

export function listed(symbols: readonly string[], { sort, favourites, changeOf }: Order): readonly string[] {
  const liked = new Set(favourites);
  const rank = (symbol: string): number => {
    if (sort === "name") return 0;
    if (sort === "usual") return fame(symbol);
    // What is not known comes last, either way.
    const change = changeOf(symbol);
    return change === undefined ? Number.POSITIVE_INFINITY : sort === "rise" ? -change : change;
  };
  const keys = new Map(symbols.map((symbol) => [symbol, { liked: liked.has(symbol) ? 0 : 1, rank: rank(symbol) }]));
  const key = (symbol: string) => keys.get(symbol) as { liked: number; rank: number };
  return symbols.toSorted().sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    return a.liked - b.liked || (a.rank === b.rank ? 0 : a.rank - b.rank);
  });
}

function fame(symbol: string): number {
  const quote = QUOTES.findIndex((name) => symbol.endsWith(name));
  const known = WELL_KNOWN.get(symbol.slice(0, symbol.length - (QUOTES[quote]?.length ?? 0)));
  return quote < 0 || known === undefined ? WELL_KNOWN.size * QUOTES.length : quote * WELL_KNOWN.size + known;
}
