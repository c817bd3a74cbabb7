// The page's address: `#BTCUSDT/1m` keeps what is looked at, so that it can be shared and reloaded; where that is the past,
// `#BTCUSDT/1m@2026-10-31T12:00` has the time (UTC) in the middle of the chart. Pure.

export interface Route {
  readonly symbol: string;
  readonly interval: string;
  /** In the middle of the chart, ms; `null`: the newest candles are at its right. */
  readonly at: number | null;
}

const LONGEST_NAME = 50;
const LONGEST_INTERVAL = 10;

/**
 * What the hash asks for. What is missing is "" or `null`; a name that no market or interval can have is kept, because
 * another one in its place would not be what was asked for.
 */
export function parseHash(hash: string): Route {
  const [name = "", rest = ""] = hash.replace(/^#\/?/, "").split("/");
  const [interval = "", time = ""] = rest.split("@");
  return {
    symbol: decoded(name).trim().toUpperCase().slice(0, LONGEST_NAME),
    interval: intervalOf(decoded(interval).trim().slice(0, LONGEST_INTERVAL)),
    at: parseTime(decoded(time)),
  };
}

/** Other spellings of an interval: `1D`, `1H`, `D`. `1M` is a month and `1m` a minute. */
function intervalOf(text: string): string {
  const [, count = "", unit] = /^(\d*)([HDW])$/.exec(text) ?? [];
  return unit === undefined ? text : `${Number(count || 1)}${unit.toLowerCase()}`;
}

/** Without an exchange (`BINANCE:`) and separators: so BTC/USDT, btc-usdt and BTCUSDT find each other. */
export function joined(name: string): string {
  return name.replace(/^.*:/, "").replace(/[-_/.]/g, "");
}

/** The market that a name means: the one of that name, or the only one that is written another way. */
function marketOf(name: string, symbols: readonly string[]): string {
  if (symbols.includes(name)) return name;
  const alike = symbols.filter((symbol) => joined(symbol) === joined(name));
  return alike.length === 1 ? (alike[0] as string) : name;
}

export function formatHash({ symbol, interval, at }: Route): string {
  return `#${encodeURIComponent(symbol)}/${encodeURIComponent(interval)}${at === null ? "" : `@${formatTime(at)}`}`;
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

/** Undoes what the browser and `formatHash` escape, where the escapes are whole. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Fills what the hash leaves open: the best known market, the shortest usual interval. What it names stays, also where there is
 * no such market or interval.
 */
export function complete(route: Route, symbols: readonly string[], intervals: readonly string[]): Route {
  const fallback = (names: readonly string[], liked: string): string =>
    names.includes(liked) ? liked : (names[0] ?? "");
  return {
    symbol: marketOf(route.symbol, symbols) || fallback(symbols, "BTCUSDT"),
    interval: route.interval || fallback(intervals, "1m"),
    at: route.at,
  };
}
