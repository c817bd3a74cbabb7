"use client";
// The public names, but for the chart, which has an entry point of its own.

export type {
  ConnectionChange,
  ConnectionReason,
  ConnectionState,
  KlinesState,
  MarketStatus,
  TickerState,
} from "kline-gateway-client/store";
export { MarketDataError } from "kline-gateway-client/store";
export { type Fallback, MarketDataBoundary, type MarketDataBoundaryProps } from "./boundary.tsx";
export { ConnectionStatus, type ConnectionStatusProps, type Words } from "./connection-status.tsx";
export { KlineProvider, type KlineProviderProps } from "./provider.tsx";
export { ChartSkeleton, type ChartSkeletonProps } from "./skeleton.tsx";
export {
  type Connection,
  type Prefetch,
  useConnection,
  useDataAge,
  useKlineService,
  usePrefetch,
} from "./use-connection.ts";
export { type KlinesOptions, useClosedKlines, useFormingKline, useKlines } from "./use-klines.ts";
export { useTicker, useTickers } from "./use-tickers.ts";
