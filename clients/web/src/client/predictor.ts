// Predicts which market the user views next, from a table of correlated markets and from former switches. Pure.

/** Base assets that are viewed one after the other, the likeliest first. */
export type Correlations = Readonly<Record<string, readonly string[]>>;

/** How often the user went from one market to another; plain data that can be stored. */
export type Learned = Readonly<Record<string, Readonly<Record<string, number>>>>;

export const CORRELATIONS: Correlations = {
  BTC: ["ETH", "SOL", "BNB", "XRP", "BCH"],
  ETH: ["BTC", "SOL", "ARB", "OP", "LDO"],
  SOL: ["ETH", "BTC", "JUP", "BONK", "WIF"],
  BNB: ["BTC", "ETH", "CAKE", "SOL"],
  XRP: ["XLM", "BTC", "ADA", "HBAR"],
  ADA: ["DOT", "XRP", "SOL", "AVAX"],
  DOGE: ["SHIB", "PEPE", "FLOKI", "BONK"],
  SHIB: ["DOGE", "PEPE", "FLOKI", "BONK"],
  PEPE: ["DOGE", "SHIB", "WIF", "BONK"],
  AVAX: ["SOL", "NEAR", "DOT", "ADA"],
  LINK: ["ETH", "UNI", "AAVE", "DOT"],
  UNI: ["AAVE", "LINK", "SUSHI", "CRV"],
  AAVE: ["UNI", "COMP", "MKR", "CRV"],
  ARB: ["OP", "ETH", "STRK", "ZK"],
  OP: ["ARB", "ETH", "STRK", "ZK"],
  LTC: ["BTC", "BCH", "ETC", "DASH"],
  BCH: ["BTC", "LTC", "ETC"],
  DOT: ["ADA", "KSM", "ATOM", "AVAX"],
  NEAR: ["AVAX", "APT", "SUI", "SOL"],
  APT: ["SUI", "SEI", "NEAR"],
  SUI: ["APT", "SEI", "SOL"],
  FET: ["RENDER", "WLD", "OCEAN"],
  RENDER: ["FET", "WLD", "NEAR"],
};

/** For markets that the table does not have. */
const USUAL = ["BTC", "ETH", "SOL"];
/** One switch seen is worth more than any table, several are worth more than one. */
const SEEN = 2;
const SEEN_AT_ALL = 0.2;
/** So many switches are remembered of one market; then all of its counts fade by half. */
const FADE_AT = 64;

export class Predictor {
  readonly #correlations: Correlations;
  readonly #seen = new Map<string, Map<string, number>>();
  #at = "";

  constructor(correlations: Correlations = CORRELATIONS, learned: Learned = {}) {
    this.#correlations = correlations;
    for (const [from, counts] of Object.entries(learned)) this.#seen.set(from, new Map(Object.entries(counts)));
  }

  /** Records that the user views this market. */
  record(symbol: string): void {
    const from = this.#at;
    this.#at = symbol;
    if (from === "" || from === symbol) return;
    const counts = this.#seen.get(from) ?? new Map<string, number>();
    counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
    this.#seen.set(from, counts);
    if (sum(counts.values()) < FADE_AT) return;
    for (const [to, count] of counts) {
      if (count <= 1) counts.delete(to);
      else counts.set(to, count / 2);
    }
  }

  /** The likeliest of `known` after `symbol`, the likeliest first. */
  likely(symbol: string, known: readonly string[], max: number): readonly string[] {
    const scores = new Map<string, number>();
    const add = (to: string, score: number): void => {
      if (to !== symbol) scores.set(to, (scores.get(to) ?? 0) + score);
    };
    for (const [from, counts] of this.#seen) {
      const all = sum(counts.values());
      for (const [to, count] of counts) add(to, from === symbol ? SEEN + count / all : (SEEN_AT_ALL * count) / all);
    }
    const { base, quote } = split(symbol, known);
    (this.#correlations[base] ?? USUAL).forEach((other, place) => {
      add(other + quote, 1 / (place + 1));
    });
    const listed = new Set(known);
    return [...scores]
      .filter(([to]) => listed.has(to))
      .sort(([, one], [, other]) => other - one)
      .slice(0, max)
      .map(([to]) => to);
  }

  get learned(): Learned {
    return Object.fromEntries([...this.#seen].map(([from, counts]) => [from, Object.fromEntries(counts)]));
  }
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** Where the quote asset begins: a long ending that many markets share. */
function split(symbol: string, known: readonly string[]): { readonly base: string; readonly quote: string } {
  let best = { base: symbol, quote: "", score: 0 };
  for (let length = 1; length < symbol.length - 1; length += 1) {
    const quote = symbol.slice(length);
    const score = quote.length * known.filter((other) => other !== symbol && other.endsWith(quote)).length;
    if (score > best.score) best = { base: symbol.slice(0, length), quote, score };
  }
  return best;
}
