// Numbers, ages and names as people read them. Pure.

const fixed = new Map<number, Intl.NumberFormat>();
const compactFormat = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const percentFormat = new Intl.NumberFormat("en", {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  signDisplay: "exceptZero",
});

/** 97123.4 with two digits: `97,123.40`. */
export function price(value: number, digits: number): string {
  let format = fixed.get(digits);
  if (format === undefined) {
    format = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    fixed.set(digits, format);
  }
  return format.format(value);
}

/** 0.5 -> `+0.50%`; the argument is percent already. */
export function percent(value: number): string {
  return `${percentFormat.format(value)}%`;
}

/** 123456 -> `123.46K`. */
export function compact(value: number): string {
  return compactFormat.format(value);
}

export function sign(value: number): "up" | "down" | "none" {
  return value > 0 ? "up" : value < 0 ? "down" : "none";
}

/** How old something is, no more exact than one needs to know. */
export function age(ms: number): string {
  if (ms < 1_000) return "<1 s";
  if (ms < 60_000) return `${Math.floor(ms / 1_000)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  return `${Math.floor(ms / 3_600_000)} h`;
}

/** A short time, no more exact than one needs to know: `0.06 s`, `1.2 s`. */
export function seconds(ms: number): string {
  return `${(Math.max(10, ms) / 1_000).toFixed(ms < 1_000 ? 2 : 1)} s`;
}

/** How far a clock is from the gateway's; `offsetMs`: the gateway's minus ours. */
export function clockText(offsetMs: number): string {
  if (Math.abs(offsetMs) < 1_000) return "right";
  return `${age(Math.abs(offsetMs))} ${offsetMs > 0 ? "behind" : "ahead"}`;
}

/** Time left: `0:07`, `12:34`, `3:05:09`, `2d 4h`. */
export function countdown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  const hours = Math.floor(seconds / 3_600);
  if (hours >= 24) return `${Math.floor(hours / 24)}d ${hours % 24}h`;
  const two = (value: number): string => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = two(seconds % 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

const QUOTES = [
  "FDUSD",
  "USDT",
  "USDC",
  "BUSD",
  "TUSD",
  "DAI",
  "EUR",
  "GBP",
  "TRY",
  "BRL",
  "JPY",
  "USD",
  "BTC",
  "ETH",
  "BNB",
];

/** Splits a pair's name where its quote asset begins, for reading only; `quote` is "" where that is not known. */
export function pair(symbol: string): { readonly base: string; readonly quote: string } {
  const [, separated, rest] = /^([^-_/]+)[-_/](.+)$/.exec(symbol) ?? [];
  if (separated !== undefined && rest !== undefined) return { base: separated, quote: rest };
  const quote = QUOTES.find((name) => symbol.endsWith(name) && symbol.length > name.length) ?? "";
  return { base: symbol.slice(0, symbol.length - quote.length), quote };
}
