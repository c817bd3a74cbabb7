"use client";
// What the components of a page share: the store, and whether errors of market data are thrown.

import type { MarketStore } from "kline-gateway-client/store";
import { createContext, useContext } from "react";

export const StoreContext = createContext<MarketStore | null>(null);

/** Whether there is a `MarketDataBoundary` around a component, which takes its errors. */
export const BoundaryContext = createContext(false);

/** Throws outside of a `KlineProvider`. */
export function useStore(): MarketStore {
  const store = useContext(StoreContext);
  if (store === null) throw new Error("There is no <KlineProvider> around this component.");
  return store;
}
