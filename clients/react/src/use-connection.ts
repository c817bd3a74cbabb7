"use client";
// Hooks for the connection as a whole, and for the service itself.

import type { KlineDataService } from "kline-gateway-client";
import type { ConnectionState } from "kline-gateway-client/store";
import { useEffect, useMemo, useRef } from "react";
import { useStore } from "./context.ts";
import { useReadable } from "./use-readable.ts";

export interface Connection extends ConnectionState {
  /** Connects again at once, if the connection waits or was refused; an open one is checked. */
  readonly retry: () => void;
}

/** Green, yellow or red, since when and why, and what it was before. It looks on: alone it does not connect. */
export function useConnection(): Connection {
  const store = useStore();
  const state = useReadable(store.connection, whole);
  return useMemo(() => ({ ...state, retry: () => store.retry() }), [state, store]);
}

/** Whole seconds since the data was up to date; `null`: never. A gateway that has lost its source counts as no news. Renders once a second. */
export function useDataAge(): number | null {
  return useReadable(useStore().age, whole);
}

/** The service: history, statistics, the stream. */
export function useKlineService(): KlineDataService {
  return useStore().service;
}

export interface Prefetch {
  /** The user may choose this market next, for example because the pointer rests on it. */
  readonly hint: (symbol: string, interval: string) => void;
  /** The user views this market: those that are likely next are fetched in the background. */
  readonly viewed: (symbol: string, interval: string) => void;
}

/** Fetching in advance. `known`: all markets that the user can choose from. The result keeps its identity. */
export function usePrefetch(known: readonly string[] = NONE): Prefetch {
  const { service } = useStore();
  const symbols = useRef(known);
  useEffect(() => {
    symbols.current = known;
  }, [known]);
  return useMemo(
    () => ({
      hint: (symbol, interval) => service.hint(symbol, interval),
      viewed: (symbol, interval) => service.viewed(symbol, interval, symbols.current),
    }),
    [service],
  );
}

const NONE: readonly string[] = [];
const whole = <T>(state: T): T => state;
