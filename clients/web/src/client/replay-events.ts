// Makes events of a replay's messages: whole klines and tickers in the order of the market's time. Pure.

import { EMPTY, foldKline, foldTicker, type Series } from "./fold.ts";
import type { Kline, KlineSnapshot, KlineUpdate, ServerMessage, Ticker, TickerSnapshot, Update } from "./types.ts";

/** What happened next. `at`: the market's time, ms since the epoch. */
export type ReplayEvent =
  | { readonly at: number; readonly symbol: string; readonly interval: string; readonly kline: Kline }
  | { readonly at: number; readonly symbol: string; readonly interval: null; readonly ticker: Ticker };

/** The replay did not begin, or broke off. `code`: the gateway's, or `INTERRUPTED`. */
export class ReplayError extends Error {
  override readonly name = "ReplayError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

interface Channel {
  readonly symbol: string;
  /** `null`: a ticker. */
  readonly interval: string | null;
  series: Series;
  ticker: Ticker | null;
}

export class ReplayEvents {
  readonly #names: readonly string[];
  readonly #closedOnly: boolean;
  readonly #channels = new Map<number, Channel>();
  #events: ReplayEvent[] = [];
  #snapshots = 0;
  #startedAt = 0;

  /** `names`: channels, each once. `closedOnly`: snapshots have more, which is left out. */
  constructor(names: readonly string[], closedOnly: boolean) {
    this.#names = names;
    this.#closedOnly = closedOnly;
  }

  /** The events since the last call. Nothing happens before all channels have their snapshots. */
  take(): readonly ReplayEvent[] {
    if (this.#snapshots < this.#names.length) return [];
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Throws `ReplayError` at an error of the gateway's. */
  add(message: ServerMessage): void {
    if (message.op === "update") this.#update(message);
    else if (message.op === "snapshot") this.#snapshot(message);
    else if (message.op === "error") throw new ReplayError(message.code, message.message);
    else if (message.op === "subscribed") {
      this.#startedAt = message.time as number;
      for (const [name, answer] of Object.entries(message.channels)) {
        if ("error" in answer) throw new ReplayError(answer.error.code, `${name}: ${answer.error.message}`);
        const [, symbol = "", interval = null] = name.split(":");
        this.#channels.set(answer.n, { symbol, interval, series: EMPTY, ticker: null });
      }
    }
  }

  #snapshot(message: KlineSnapshot | TickerSnapshot): void {
    const channel = this.#channels.get(message.n) as Channel;
    if ("klines" in message) {
      for (const kline of message.klines) this.#kline(channel, kline.closeTime + 1, kline);
      if (message.forming !== null && !this.#closedOnly) this.#kline(channel, this.#startedAt, message.forming);
      if (message.more === true) return;
    } else if (message.ticker !== null && !this.#closedOnly) {
      this.#ticker(channel, this.#startedAt, message.ticker);
    }
    this.#snapshots += 1;
    // The past of all channels; the sort is stable.
    if (this.#snapshots === this.#names.length) this.#events.sort((one, other) => one.at - other.at);
  }

  #update({ t, u }: Update): void {
    for (const [number, update] of u) {
      const channel = this.#channels.get(number) as Channel;
      if (channel.interval === null) this.#ticker(channel, t, update as Ticker);
      else this.#kline(channel, t, update as KlineUpdate);
    }
  }

  #kline(channel: Channel, at: number, update: KlineUpdate): void {
    const { series, change } = foldKline(channel.series, update, 1);
    channel.series = series;
    if (change.kind !== "klines") return;
    const { symbol, interval } = channel as { symbol: string; interval: string };
    for (const kline of change.klines) this.#events.push({ at, symbol, interval, kline });
  }

  #ticker(channel: Channel, at: number, update: Ticker): void {
    channel.ticker = foldTicker(channel.ticker, update);
    this.#events.push({ at, symbol: channel.symbol, interval: null, ticker: channel.ticker });
  }
}
