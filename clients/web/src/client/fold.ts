// Folds snapshots and updates of one channel into what the client holds. Pure: no sockets, no clocks.
//
// Invariants:
// - `closed` ascends by open time, each once; `forming`, if any, opens after the last of them;
// - folding changes nothing in place, so what a listener was given stays what it was;
// - news that cannot be placed (older than what is held, or a diff of nothing) leaves the series untouched.

import type { Kline, KlineNews, KlineSnapshot, Ticker } from "./types.ts";

/** What the client holds of a kline channel. */
export interface Series {
  readonly closed: readonly Kline[];
  readonly forming: Kline | null;
}

/** What a fold did, in a chart's terms: start over, push these bars in order, or nothing. */
export type Change =
  | { readonly kind: "reset" }
  | { readonly kind: "bars"; readonly bars: readonly Kline[] }
  | { readonly kind: "none" };

export interface Folded {
  readonly series: Series;
  readonly change: Change;
}

export const EMPTY: Series = { closed: [], forming: null };

const RESET: Change = { kind: "reset" };
const NONE: Change = { kind: "none" };

/** `keep`: the most closed klines to hold; the oldest go first. */
export function foldSnapshot(held: Series, snapshot: KlineSnapshot, keep: number): Folded {
  const forming = snapshot.forming;
  if (snapshot.recovered !== true) {
    return { series: { closed: snapshot.klines.slice(-keep), forming }, change: RESET };
  }
  const last = newestClosed(held);
  const missed = snapshot.klines.filter((kline) => last === null || kline.openTime > last.openTime);
  const closed = missed.length === 0 ? held.closed : [...held.closed, ...missed].slice(-keep);
  const bars = forming === null ? missed : [...missed, forming];
  // The forming bar shown so far may be newer than anything the gateway has now: a chart cannot take a bar back.
  const shown = held.forming?.openTime ?? 0;
  const newest = bars.at(-1)?.openTime ?? last?.openTime ?? 0;
  const change: Change = shown > newest ? RESET : bars.length === 0 ? NONE : { kind: "bars", bars };
  return { series: { closed, forming }, change };
}

export function foldKline(held: Series, news: KlineNews, keep: number): Folded {
  if (!isWhole(news)) {
    if (held.forming === null) return { series: held, change: NONE };
    const forming = { ...held.forming, ...news };
    return { series: { closed: held.closed, forming }, change: { kind: "bars", bars: [forming] } };
  }
  return news.isClosed ? foldClosed(held, news, keep) : foldForming(held, news);
}

/** The news' fields replace those held. */
export function foldTicker(held: Ticker | null, news: Ticker): Ticker {
  return { ...held, ...news };
}

/** The resume cursor's kline. */
export function newestClosed(series: Series): Kline | null {
  return series.closed.at(-1) ?? null;
}

/** The bar a chart shows last. */
export function newestBar(series: Series): Kline | null {
  return series.forming ?? newestClosed(series);
}

/** The other way round: the last of the bars may be forming. */
export function seriesOf(bars: readonly Kline[]): Series {
  const last = bars.at(-1);
  return last === undefined || last.isClosed
    ? { closed: bars, forming: null }
    : { closed: bars.slice(0, -1), forming: last };
}

/** All bars, oldest first. */
export function allBars(series: Series): readonly Kline[] {
  return series.forming === null ? series.closed : [...series.closed, series.forming];
}

function foldClosed(held: Series, kline: Kline, keep: number): Folded {
  const last = newestClosed(held);
  if (last !== null && kline.openTime <= last.openTime) {
    const index = held.closed.findIndex((other) => other.openTime === kline.openTime);
    if (index < 0) return { series: held, change: NONE };
    return { series: { closed: held.closed.with(index, kline), forming: held.forming }, change: RESET };
  }
  const closed = [...held.closed, kline].slice(-keep);
  if (held.forming !== null && held.forming.openTime > kline.openTime) {
    // Out of order by the protocol's own promise, but the truth all the same: the chart is drawn anew.
    return { series: { closed, forming: held.forming }, change: RESET };
  }
  return { series: { closed, forming: null }, change: { kind: "bars", bars: [kline] } };
}

function foldForming(held: Series, kline: Kline): Folded {
  const newest = newestBar(held);
  const fits =
    newest === null ||
    kline.openTime > newest.openTime ||
    (held.forming !== null && kline.openTime === held.forming.openTime);
  if (!fits) return { series: held, change: NONE };
  return { series: { closed: held.closed, forming: kline }, change: { kind: "bars", bars: [kline] } };
}

function isWhole(news: KlineNews): news is Kline {
  return "openTime" in news;
}
