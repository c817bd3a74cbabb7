// The store's public names: for bindings to a framework.

export type { ConnectionChange, ConnectionReason, ConnectionState } from "./connection.ts";
export { errorOf, MarketDataError, type MarketStatus, statusOf } from "./error.ts";
export type { Schedule } from "./frames.ts";
export type { KlinesState } from "./klines.ts";
export type { Readable } from "./readable.ts";
export { HISTORY, MarketStore, type StoreOptions } from "./store.ts";
export type { TickerState } from "./tickers.ts";
