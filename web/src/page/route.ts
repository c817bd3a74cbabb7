// The page's address: `#BTCUSDT/1m` keeps what is looked at, so that it can be shared and reloaded. Pure.

export interface Route {
  readonly symbol: string;
  readonly interval: string;
}

/** What the hash asks for; parts that are missing or malformed are "". */
export function parseHash(hash: string): Route {
  const [name = "", interval = ""] = hash.replace(/^#\/?/, "").split("/");
  const symbol = decoded(name);
  return {
    symbol: /^[\p{L}\p{N}._/-]{1,50}$/u.test(symbol) ? symbol.toUpperCase() : "",
    interval: /^\d{1,2}[smhdwM]$/.test(interval) ? interval : "",
  };
}

export function formatHash({ symbol, interval }: Route): string {
  return `#${encodeURIComponent(symbol)}/${interval}`;
}

/** Undoes what the browser and `formatHash` escape; "" where the escapes are broken. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
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
