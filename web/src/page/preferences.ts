// What somebody has chosen about the page: checked where it is read, because anything may be in a browser's storage. Pure.

export const TYPES = ["candles", "hollow", "bars", "line", "area"] as const;
export const COLOURS = ["green", "red", "blue"] as const;
export const SORTS = ["usual", "name", "rise", "fall"] as const;

export interface Preferences {
  /** How a candle is drawn. */
  readonly type: (typeof TYPES)[number];
  readonly log: boolean;
  readonly volume: boolean;
  readonly ma: boolean;
  readonly maLength: number;
  readonly ema: boolean;
  readonly emaLength: number;
  readonly vwap: boolean;
  readonly rsi: boolean;
  readonly rsiLength: number;
  /** Of rising prices: green (falling red), red (falling green, as in East Asia), blue (falling orange, for colour-blind eyes). */
  readonly colours: (typeof COLOURS)[number];
  /** `local`, `UTC` or an IANA name. */
  readonly zone: string;
  /** Of the list of markets. */
  readonly sort: (typeof SORTS)[number];
  readonly favourites: readonly string[];
}

export const DEFAULTS: Preferences = {
  type: "candles",
  log: false,
  volume: true,
  ma: false,
  maLength: 20,
  ema: false,
  emaLength: 50,
  vwap: false,
  rsi: false,
  rsiLength: 14,
  colours: "green",
  zone: "local",
  sort: "usual",
  favourites: [],
};

export const LENGTHS = { min: 2, max: 400 };
const MOST_FAVOURITES = 200;

/** What is valid of `stored`, and the defaults for the rest. */
export function checked(stored: unknown): Preferences {
  const found = (typeof stored === "object" && stored !== null ? stored : {}) as Record<string, unknown>;
  const one = <T extends string>(name: keyof Preferences, names: readonly T[]): T =>
    names.find((known) => known === found[name]) ?? (DEFAULTS[name] as T);
  const flag = (name: keyof Preferences): boolean =>
    typeof found[name] === "boolean" ? found[name] : (DEFAULTS[name] as boolean);
  const length = (name: keyof Preferences): number => lengthOf(Number(found[name] ?? Number.NaN), name);
  return {
    type: one("type", TYPES),
    log: flag("log"),
    volume: flag("volume"),
    ma: flag("ma"),
    maLength: length("maLength"),
    ema: flag("ema"),
    emaLength: length("emaLength"),
    vwap: flag("vwap"),
    rsi: flag("rsi"),
    rsiLength: length("rsiLength"),
    colours: one("colours", COLOURS),
    zone: typeof found["zone"] === "string" && isZone(found["zone"]) ? found["zone"] : DEFAULTS.zone,
    sort: one("sort", SORTS),
    favourites: favouritesOf(found["favourites"]),
  };
}

/** Favourites with this market, or without it if it is one. */
export function toggled(favourites: readonly string[], symbol: string): readonly string[] {
  const others = favourites.filter((other) => other !== symbol);
  return others.length < favourites.length ? others : [...favourites, symbol];
}

function lengthOf(value: number, name: keyof Preferences): number {
  if (!Number.isFinite(value)) return DEFAULTS[name] as number;
  return Math.min(LENGTHS.max, Math.max(LENGTHS.min, Math.round(value)));
}

function favouritesOf(stored: unknown): readonly string[] {
  if (!Array.isArray(stored)) return [];
  return [...new Set(stored.filter((symbol) => typeof symbol === "string"))].slice(0, MOST_FAVOURITES);
}

function isZone(name: string): boolean {
  if (name === "local") return true;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
