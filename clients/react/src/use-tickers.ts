"use client";
// Hooks for tickers.

import type { Readable, TickerState } from "kline-gateway-client/store";
import { useMemo } from "react";
import { useStore } from "./context.ts";
import { useReadable } from "./use-readable.ts";
import { useThrown } from "./use-thrown.ts";

/** The last price and 24 h figures of a market. With `select` the component renders only when that has changed. */
export function useTicker(symbol: string): TickerState;
export function useTicker<S>(symbol: string, select: (state: TickerState) => S): S;
export function useTicker(symbol: string, select: (state: TickerState) => unknown = whole): unknown {
  const ticker = useStore().ticker(symbol);
  useThrown(ticker);
  return useReadable(ticker, select);
}

/**
 * The tickers of several markets, in their order, for what needs all of them: a sum, an order. A market that has not changed
 * keeps its state. For the rows of a list take `useTicker` in each row: then a row renders alone.
 */
export function useTickers(symbols: readonly string[]): ReadonlyMap<string, TickerState>;
export function useTickers<S>(symbols: readonly string[], select: (states: ReadonlyMap<string, TickerState>) => S): S;
export function useTickers(
  symbols: readonly string[],
  select: (states: ReadonlyMap<string, TickerState>) => unknown = whole,
): unknown {
  const store = useStore();
  // A list that is written down in the component is a new one at each rendering.
  const names = symbols.join();
  const tickers: Readable<ReadonlyMap<string, TickerState>> = useMemo(
    () => store.tickers(names === "" ? [] : names.split(",")),
    [store, names],
  );
  return useReadable(tickers, select);
}

const whole = <T>(state: T): T => state;
