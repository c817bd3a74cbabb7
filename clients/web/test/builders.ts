// Bars and messages for the tests: whole by default, with what matters given.

import type { Kline, KlineSnapshot, TickerSnapshot } from "../src/client/types";

export const MINUTE = 60_000;

export function kline(minute: number, over: Partial<Kline> = {}): Kline {
  return {
    openTime: minute * MINUTE,
    open: 10,
    high: 12,
    low: 9,
    close: 11,
    volume: 5,
    closeTime: (minute + 1) * MINUTE - 1,
    quoteVolume: 50,
    trades: 3,
    isClosed: true,
    ...over,
  };
}

export function forming(minute: number, over: Partial<Kline> = {}): Kline {
  return kline(minute, { isClosed: false, ...over });
}

export function snapshot(over: Partial<KlineSnapshot> = {}): KlineSnapshot {
  return { op: "snapshot", n: 1, channel: "kline:BTCUSDT:1m", klines: [], forming: null, state: "live", ...over };
}

export function tickerSnapshot(over: Partial<TickerSnapshot> = {}): TickerSnapshot {
  return { op: "snapshot", n: 2, channel: "ticker:BTCUSDT", ticker: { c: 10 }, state: "live", ...over };
}
