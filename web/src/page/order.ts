// The order of the list of markets: well-known ones first, the rest by name. Pure.

import { CORRELATIONS } from "kline-gateway-client";

const WELL_KNOWN = new Map(Object.keys(CORRELATIONS).map((base, rank) => [base, rank]));
const QUOTES = ["USDT", "USDC", "USD"];

export function listed(symbols: readonly string[]): readonly string[] {
  const unknown = WELL_KNOWN.size * QUOTES.length;
  const rank = (symbol: string): number => {
    const quote = QUOTES.findIndex((name) => symbol.endsWith(name));
    const known = WELL_KNOWN.get(symbol.slice(0, symbol.length - (QUOTES[quote]?.length ?? 0)));
    return quote < 0 || known === undefined ? unknown : quote * WELL_KNOWN.size + known;
  };
  return symbols.toSorted().sort((one, other) => rank(one) - rank(other));
}
