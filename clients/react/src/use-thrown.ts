"use client";
// Throws an error of market data where a boundary takes it.

import type { MarketDataError, Readable } from "kline-gateway-client/store";
import { useContext } from "react";
import { BoundaryContext } from "./context.ts";
import { useReadable } from "./use-readable.ts";

interface Failing {
  readonly error: MarketDataError | null;
}

/** Below a `MarketDataBoundary` an error is thrown; elsewhere it is for the component to look at. */
export function useThrown(readable: Readable<Failing>): void {
  const error = useReadable(readable, errorOf);
  if (useContext(BoundaryContext) && error !== null) throw error;
}

const errorOf = ({ error }: Failing): MarketDataError | null => error;
