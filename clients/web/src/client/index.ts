// The client library's public names.

export type { ChannelStatus, KlineEvent, StatusEvent, TickerEvent } from "./channel.ts";
export type { Rates } from "./commands.ts";
export type { ConnectionPhase, Socket, SocketConstructor } from "./connection.ts";
export { allKlines, newestClosed, newestKline, type Series } from "./fold.ts";
export { type Freshness, type FreshnessReason, freshness, type Level } from "./freshness.ts";
export { fetchKlines, fetchMarkets, HttpError, type KlinesAnswer, type KlinesPage, type Markets } from "./history.ts";
export { CORRELATIONS, type Correlations, type Learned, Predictor } from "./predictor.ts";
export type { PrefetchOptions } from "./prefetch.ts";
export type { Klines } from "./reader.ts";
export { type ReplayOptions, type ReplayRange, replay, replayAddress } from "./replay.ts";
export { ReplayError, type ReplayEvent } from "./replay-events.ts";
export { KlineDataService, type ServiceOptions, type SubscribeOptions, type Visit } from "./service.ts";
export type { CacheStats, Timing } from "./stats.ts";
export type { SeriesStatus } from "./status.ts";
export { KlineStream, type StreamOptions, type Subscription } from "./stream.ts";
export type { StreamInfo } from "./stream-info.ts";
export type { Kline, StaleReason, ThrottleReason, Ticker } from "./types.ts";
export { checkOnWake } from "./wake.ts";
