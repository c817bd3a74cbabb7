// Folds snapshots and updates of one channel into a series. Pure: no sockets, no clocks.
//
// Invariants:
// - `closed` ascends by open time, each once; `forming`, if any, opens after the last of them;
// - folding changes nothing in place, so what a listener was given stays what it was;
// - an update that cannot be placed (older than the series, or a delta without a full value) leaves it unchanged.

import type { Kline, KlineSnapshot, KlineUpdate, Ticker } from "./types.ts";

/** The klines of one channel. */
export interface Series {
  readonly closed: readonly Kline[];
  readonly forming: Kline | null;
}

/** What a fold did, in a chart's terms: draw everything again, push these klines in order, or nothing. */
export type Change =
  | { readonly kind: "reset" }
  | { readonly kind: "klines"; readonly klines: readonly Kline[] }
  | { readonly kind: "none" };

export interface Folded {
  readonly series: Series;
  readonly change: Change;
}

export const EMPTY: Series = { closed: [], forming: null };

const RESET: Change = { kind: "reset" };
const NONE: Change = { kind: "none" };

/** `maxKlines`: the most closed klines to keep; the oldest are dropped first. */
export function foldSnapshot(
  before: Series,
  snapshot: Pick<KlineSnapshot, "klines" | "forming" | "recovered">,
  maxKlines: number,
): Folded {
  if (snapshot.recovered !== true) {
    return { series: { closed: snapshot.klines.slice(-maxKlines), forming: snapshot.forming }, change: RESET };
  }
  const last = newestClosed(before);
  const isAfter = (kline: Kline): boolean => last === null || kline.openTime > last.openTime;
  const missed = snapshot.klines.filter(isAfter);
  const closed = missed.length === 0 ? before.closed : [...before.closed, ...missed].slice(-maxKlines);
  // What has closed here already does not form again, as where another gateway answers that is behind.
  const forming = snapshot.forming !== null && isAfter(snapshot.forming) ? snapshot.forming : null;
  const klines = forming === null ? missed : [...missed, forming];
  // A chart takes no kline back, and none before its newest: it drew a hole, or its forming kline is not known here.
  const first = klines[0]?.openTime ?? last?.openTime ?? 0;
  const change: Change =
    (before.forming?.openTime ?? 0) > first ? RESET : klines.length === 0 ? NONE : { kind: "klines", klines };
  return { series: { closed, forming }, change };
}

export function foldKline(before: Series, update: KlineUpdate, maxKlines: number): Folded {
  if (!isWhole(update)) {
    if (before.forming === null) return { series: before, change: NONE };
    const forming = { ...before.forming, ...update };
    return { series: { closed: before.closed, forming }, change: { kind: "klines", klines: [forming] } };
  }
  return update.isClosed ? foldClosed(before, update, maxKlines) : foldForming(before, update);
}

/** The update's fields replace those of the ticker. */
export function foldTicker(before: Ticker | null, update: Ticker): Ticker {
  return { ...before, ...update };
}

/** How many of the newest klines, the forming one included, continue a series; `most` where it has none or is too old. */
export function missingKlines(series: Series | null, most: number, now: number): number {
  const last = series === null ? null : newestClosed(series);
  if (last === null) return most;
  // One more than passed: it joins what is there. A clock may differ.
  const passed = Math.max(0, Math.ceil((now - last.closeTime) / (last.closeTime + 1 - last.openTime)));
  return Math.min(most, passed + 2);
}

/** The resume cursor's kline. */
export function newestClosed(series: Series): Kline | null {
  return series.closed.at(-1) ?? null;
}

/** The kline a chart shows last. */
export function newestKline(series: Series): Kline | null {
  return series.forming ?? newestClosed(series);
}

/** The other way round: the last of the klines may be forming. */
export function seriesOf(klines: readonly Kline[]): Series {
  const last = klines.at(-1);
  return last === undefined || last.isClosed
    ? { closed: klines, forming: null }
    : { closed: klines.slice(0, -1), forming: last };
}

/** All klines, oldest first. */
export function allKlines(series: Series): readonly Kline[] {
  return series.forming === null ? series.closed : [...series.closed, series.forming];
}

function foldClosed(before: Series, kline: Kline, maxKlines: number): Folded {
  const last = newestClosed(before);
  if (last !== null && kline.openTime <= last.openTime) {
    const index = before.closed.findIndex((other) => other.openTime === kline.openTime);
    if (index < 0) return { series: before, change: NONE };
    return { series: { closed: before.closed.with(index, kline), forming: before.forming }, change: RESET };
  }
  const closed = [...before.closed, kline].slice(-maxKlines);
  if (before.forming !== null && before.forming.openTime > kline.openTime) {
    // The protocol promises another order, but the kline is right: the chart is drawn again.
    return { series: { closed, forming: before.forming }, change: RESET };
  }
  return { series: { closed, forming: null }, change: { kind: "klines", klines: [kline] } };
}

function foldForming(before: Series, kline: Kline): Folded {
  const newest = newestKline(before);
  const fits =
    newest === null ||
    kline.openTime > newest.openTime ||
    (before.forming !== null && kline.openTime === before.forming.openTime);
  if (!fits) return { series: before, change: NONE };
  return { series: { closed: before.closed, forming: kline }, change: { kind: "klines", klines: [kline] } };
}

function isWhole(update: KlineUpdate): update is Kline {
  return "openTime" in update;
}
