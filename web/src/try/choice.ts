// What is tried: a dialect, a market, what of it, and in which language the code is shown. The address keeps it. Pure.

export const DIALECTS = ["native", "compact", "binance", "events", "http"] as const;
export const FOLLOWED = ["klines+ticker", "klines", "ticker"] as const;
export const LANGUAGES = ["python", "python-plain", "typescript", "typescript-plain", "shell"] as const;

export type Dialect = (typeof DIALECTS)[number];
export type Followed = (typeof FOLLOWED)[number];
export type Language = (typeof LANGUAGES)[number];

export interface Choice {
  readonly dialect: Dialect;
  readonly symbol: string;
  readonly interval: string;
  readonly followed: Followed;
  readonly language: Language;
}

/** A symbol as the gateway may have it. */
export const SYMBOL = /^[\p{L}\p{N}._/-]{1,50}$/u;
const INTERVAL = /^\d{1,2}[smhdwM]$/;

/** `#native/BTCUSDT/1m/klines+ticker/python`; what is missing or malformed is as for somebody who comes without. */
export function parseChoice(hash: string): Choice {
  const [dialect, symbol = "", interval = "", followed, language] = hash.replace(/^#\/?/, "").split("/").map(decoded);
  return {
    dialect: one(DIALECTS, dialect),
    symbol: SYMBOL.test(symbol) ? symbol.toUpperCase() : "BTCUSDT",
    interval: INTERVAL.test(interval) ? interval : "1m",
    followed: one(FOLLOWED, followed),
    language: one(LANGUAGES, language),
  };
}

export function formatChoice({ dialect, symbol, interval, followed, language }: Choice): string {
  return `#${[dialect, encodeURIComponent(symbol), interval, followed, language].join("/")}`;
}

export const hasKlines = ({ followed }: Choice): boolean => followed !== "ticker";
export const hasTicker = ({ followed }: Choice): boolean => followed !== "klines";

/** The channels of the native protocol. */
export function channels(choice: Choice): readonly string[] {
  return [
    ...(hasKlines(choice) ? [`kline:${choice.symbol}:${choice.interval}`] : []),
    ...(hasTicker(choice) ? [`ticker:${choice.symbol}`] : []),
  ];
}

/** The names of Binance's streams, as they stand in an address. */
export function binanceStreams(choice: Choice): readonly string[] {
  const name = encodeURIComponent(choice.symbol.toLowerCase());
  return [
    ...(hasKlines(choice) ? [`${name}@kline_${choice.interval}`] : []),
    ...(hasTicker(choice) ? [`${name}@miniTicker`] : []),
  ];
}

function one<T extends string>(names: readonly [T, ...T[]], name: string | undefined): T {
  return names.find((known) => known === name) ?? names[0];
}

/** Undoes what the browser and `formatChoice` escape; "" where the escapes are broken. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
