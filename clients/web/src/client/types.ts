// The messages of the native stream, protocol version 1 (gateway/PROTOCOL.md). Types only.

/** One kline. Times are ms since the epoch. */
export interface Kline {
  readonly openTime: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly closeTime: number;
  readonly quoteVolume: number;
  readonly trades: number;
  readonly isClosed: boolean;
  /** Made of prices only: the source has not sent this kline yet. */
  readonly provisional?: boolean;
}

/** Last price (`c`) and 24 h figures, as far as the source gives them. */
export interface Ticker {
  readonly c?: number;
  readonly o?: number;
  readonly h?: number;
  readonly l?: number;
  readonly v?: number;
  readonly q?: number;
  readonly p?: number;
  readonly P?: number;
  readonly n?: number;
  readonly E?: number;
  /** The source sends no ticker of the symbol: it is made of klines. `false`: it was before. */
  readonly derived?: boolean;
}

export type ChannelState = "live" | "stale";
export type StaleReason = "redis" | "repair" | "silent" | "malformed" | "prices" | "klines" | "symbol" | "store";
export type ThrottleReason = "slow_client" | "load" | "client" | "recovered";

export type ErrorCode =
  | "BAD_JSON"
  | "BAD_REQUEST"
  | "UNKNOWN_OP"
  | "INVALID_CHANNEL"
  | "INVALID_SYMBOL"
  | "INVALID_INTERVAL"
  | "TOO_MANY_SUBSCRIPTIONS"
  | "RATE_LIMIT"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "UNAVAILABLE";

export interface ChannelError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** A full value (it has `openTime`), or the changed fields of the forming kline. */
export type KlineUpdate = Kline | Partial<Omit<Kline, "openTime">>;

export interface Hello {
  readonly op: "hello";
  readonly protocol: number;
  readonly server: string;
  readonly time: number;
  /** The longest that an update waits in the gateway. */
  readonly interval_ms: number;
  readonly limits: {
    readonly max_subscriptions: number;
    readonly max_message_bytes: number;
    readonly history_max: number;
    /** The least latency that a client can ask for; absent: none can be asked for. */
    readonly latency_ms?: number;
  };
}

/** The reply to `set`: what is now in force. */
export interface Settings {
  readonly op: "set";
  /** The longest that an update waits in the gateway. */
  readonly interval_ms: number;
}

export interface Subscribed {
  readonly op: "subscribed";
  readonly id?: number | string;
  /** In a replay: the market's time. */
  readonly time?: number;
  readonly channels: Readonly<Record<string, { readonly n: number } | { readonly error: ChannelError }>>;
}

export interface KlineSnapshot {
  readonly op: "snapshot";
  readonly n: number;
  readonly channel: string;
  readonly klines: readonly Kline[];
  readonly forming: Kline | null;
  readonly state: ChannelState;
  readonly reason?: StaleReason;
  readonly since?: number;
  /** The klines are aggregated from shorter ones: the source has none of this interval. */
  readonly derived?: boolean;
  /** `true`: continues the client's series; `false`: the cursor was too old, this replaces it. */
  readonly recovered?: boolean;
  /** The first part of it: another such snapshot follows. */
  readonly more?: boolean;
  /** Sent without a subscribe command: it replaces what was sent before. */
  readonly resync?: boolean;
}

export interface TickerSnapshot {
  readonly op: "snapshot";
  readonly n: number;
  readonly channel: string;
  readonly ticker: Ticker | null;
  readonly state: ChannelState;
  readonly reason?: StaleReason;
  readonly since?: number;
}

export interface Update {
  readonly op: "update";
  readonly t: number;
  readonly u: readonly (readonly [n: number, update: KlineUpdate | Ticker])[];
}

export interface Status {
  readonly op: "status";
  readonly channels: Readonly<Record<string, ChannelState>>;
  readonly reason?: StaleReason;
  readonly since?: number;
}

export interface Throttle {
  readonly op: "throttle";
  readonly interval_ms: number;
  readonly reason: ThrottleReason;
}

export interface StreamError {
  readonly op: "error";
  readonly id?: number | string;
  readonly code: ErrorCode;
  readonly message: string;
}

export type ServerMessage =
  | Hello
  | Subscribed
  | KlineSnapshot
  | TickerSnapshot
  | Update
  | Status
  | Throttle
  | Settings
  | StreamError
  | { readonly op: "unsubscribed"; readonly id?: number | string; readonly channels: readonly string[] }
  | { readonly op: "heartbeat"; readonly t: number }
  | { readonly op: "replay_end"; readonly t: number; readonly reason: "to" | "present" }
  | { readonly op: "shutdown"; readonly retry_ms: number }
  | { readonly op: "pong"; readonly id?: number | string; readonly time: number };

export type ClientCommand =
  | {
      readonly op: "subscribe";
      readonly id: number;
      readonly channels: readonly string[];
      readonly history?: number;
      readonly resume?: Readonly<Record<string, number>>;
    }
  | { readonly op: "unsubscribe"; readonly id: number; readonly channels: readonly string[] }
  | { readonly op: "set"; readonly max_rate: number }
  | { readonly op: "set"; readonly latency_ms: number }
  | { readonly op: "set"; readonly closed_only: boolean }
  | { readonly op: "ping"; readonly id: number };
