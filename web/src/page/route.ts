// The page's address: `#BTCUSDT/1m` keeps what is looked at, so that it can be shared and reloaded. Pure.

export interface Route {
  readonly symbol: string;
  readonly interval: string;
}

/** What the hash asks for; parts that are missing or malformed are "". */
export function parseHash(hash: string): Route {
  const [symbol = "", interval = ""] = hash.replace(/^#\/?/, "").split("/");
  return {
    symbol: /^[A-Za-z0-9]{2,30}$/.test(symbol) ? symbol.toUpperCase() : "",
    interval: /^\d{1,2}[smhdwM]$/.test(interval) ? interval : "",
  };
}

export function formatHash({ symbol, interval }: Route): string {
  return `#${symbol}/${interval}`;
}

/** Fills what the hash leaves open: the best known market, the shortest usual interval. */
export function complete(route: Route, symbols: readonly string[], intervals: readonly string[]): Route {
  const fallback = (names: readonly string[], liked: string): string =>
    names.includes(liked) ? liked : (names[0] ?? "");
  return {
    symbol: route.symbol || fallback(symbols, "BTCUSDT"),
    interval: intervals.includes(route.interval) ? route.interval : fallback(intervals, "1m"),
  };
}
