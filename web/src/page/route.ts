// The page's address: `#BTCUSDT/1m` keeps what is looked at, so that it can be shared and reloaded; where that is the past,
// `#BTCUSDT/1m@2026-10-31T12:00` has the time (UTC) in the middle of the chart. Pure.

export interface Route {
  readonly symbol: string;
  readonly interval: string;
  /** In the middle of the chart, ms; `null`: the newest candles are at its right. */
  readonly at: number | null;
}

/** What the hash asks for; names that are missing or malformed are "", a time is `null`. */
export function parseHash(hash: string): Route {
  const [name = "", rest = ""] = hash.replace(/^#\/?/, "").split("/");
  const [interval = "", time = ""] = rest.split("@");
  const symbol = decoded(name);
  return {
    symbol: /^[\p{L}\p{N}._/-]{1,50}$/u.test(symbol) ? symbol.toUpperCase() : "",
    interval: /^\d{1,2}[smhdwM]$/.test(interval) ? interval : "",
    at: parseTime(decoded(time)),
  };
}

export function formatHash({ symbol, interval, at }: Route): string {
  return `#${encodeURIComponent(symbol)}/${interval}${at === null ? "" : `@${formatTime(at)}`}`;
}

/** `2026-10-31`, `2026-10-31T12:00` or `2026-10-31T12:00:30`, UTC, in ms; `null` for anything else. */
export function parseTime(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?$/.test(text)) return null;
  const time = Date.parse(text.includes("T") ? `${text}Z` : text);
  return Number.isNaN(time) ? null : Math.max(0, time);
}

/** The other way round, without seconds where there are none. */
export function formatTime(time: number): string {
  return new Date(time).toISOString().slice(0, 19).replace(/:00$/, "");
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
    at: route.at,
  };
}
