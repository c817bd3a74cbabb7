"use client";
// Hooks for the klines of one market.

import type { Kline } from "kline-gateway-client";
import { HISTORY, type KlinesState, type Readable } from "kline-gateway-client/store";
import { useStore } from "./context.ts";
import { useReadable } from "./use-readable.ts";
import { useThrown } from "./use-thrown.ts";

export interface KlinesOptions {
  /** Closed klines to show. Default 500. Components that ask for the same number share one list. */
  readonly history?: number;
}

/**
 * The klines of a market: `closed` keeps its identity until a kline closes or history changes, `forming` changes with every
 * update, once a frame at most. With `select` the component renders only when what it selects has changed. Components that
 * use the same market share one subscription; the last one to unmount ends it.
 */
export function useKlines(symbol: string, interval: string, options?: KlinesOptions): KlinesState;
export function useKlines<S>(
  symbol: string,
  interval: string,
  options: KlinesOptions & { readonly select: (state: KlinesState) => S },
): S;
export function useKlines(
  symbol: string,
  interval: string,
  { history = HISTORY, select = whole }: KlinesOptions & { readonly select?: (state: KlinesState) => unknown } = {},
): unknown {
  const klines: Readable<KlinesState> = useStore().klines(symbol, interval, history);
  useThrown(klines);
  return useReadable(klines, select);
}

/** The closed klines alone: a component that uses it renders when one closes, and not while one forms. */
export function useClosedKlines(symbol: string, interval: string, options?: KlinesOptions): readonly Kline[] {
  return useKlines(symbol, interval, { ...options, select: closedOf });
}

/** The forming kline alone; `null`: there is none. */
export function useFormingKline(symbol: string, interval: string, options?: KlinesOptions): Kline | null {
  return useKlines(symbol, interval, { ...options, select: formingOf });
}

const whole = (state: KlinesState): KlinesState => state;
const closedOf = ({ closed }: KlinesState): readonly Kline[] => closed;
const formingOf = ({ forming }: KlinesState): Kline | null => forming;
