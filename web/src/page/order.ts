// In which order markets are listed: those everybody looks for first, the rest by name. Pure.

import { CORRELATIONS } from "kline-gateway-client";

const FAME = new Map(Object.keys(CORRELATIONS).map((base, place) => [base, place]));
const QUOTES = ["USDT", "USDC", "USD"];

export function listed(symbols: readonly string[]): readonly string[] {
  const unknown = FAME.size * QUOTES.length;
  const place = (symbol: string): number => {
    const quote = QUOTES.findIndex((name) => symbol.endsWith(name));
    const fame = FAME.get(symbol.slice(0, symbol.length - (QUOTES[quote]?.length ?? 0)));
    return quote < 0 || fame === undefined ? unknown : quote * FAME.size + fame;
  };
  return symbols.toSorted().sort((one, other) => place(one) - place(other));
}
