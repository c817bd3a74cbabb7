// The client library's public names.

export type { ChannelStatus, KlineEvent, StatusEvent, TickerEvent } from "./channel";
export { allBars, newestBar, newestClosed, type Series } from "./fold";
export { type Freshness, freshness, type Level, type Why } from "./freshness";
export { fetchKlines, fetchMarkets, HttpError, type KlinesAnswer, type Markets } from "./history";
export type { LinkPhase, Socket, SocketConstructor } from "./link";
export { KlineStream, type StreamInfo, type StreamOptions, type Subscription } from "./stream";
export type { Kline, Ticker } from "./types";
export { checkOnWake } from "./wake";
