// The market that the page shows: its candles and ticker, from the stream into the chart. Closed when another is selected.

import {
  allKlines,
  type ChannelStatus,
  type Kline,
  type KlineEvent,
  type KlineStream,
  newestClosed,
  newestKline,
  type Series,
  type Subscription,
  type Ticker,
} from "kline-gateway-client";
import type { CandleChart } from "./chart";
import { HISTORY } from "./first-load";
import { type Gap, gapsIn } from "./gaps";
import { digitsOfBars, digitsOfTicker } from "./precision";
import type { Route } from "./route";

/** Where the first candles came from, and how long after the choice the chart had them. */
export interface Shown {
  readonly from: "cache" | "gateway";
  readonly ms: number;
}

const NOTHING: ChannelStatus = { state: "waiting" };

export class SelectedMarket {
  readonly route: Route;
  readonly since = Date.now();
  readonly #requestedAt: number;
  readonly #firstSource: Shown["from"];
  readonly #chart: CandleChart;
  readonly #changed: () => void;
  #subscriptions: readonly Subscription[] = [];
  #starting = true;
  #series: Series = { closed: [], forming: null };
  #ticker: Ticker | null = null;
  #digits = 0;
  #shown: Shown | null = null;
  #gaps: readonly Gap[] = [];

  /**
   * A route with an empty part selects nothing. `requestedAt`: when the page requested the candles before this (ms since the
   * start of the navigation); the cached candles then came from the gateway just now.
   */
  constructor(route: Route, stream: KlineStream, chart: CandleChart, changed: () => void, requestedAt?: number) {
    this.route = route;
    this.#requestedAt = requestedAt ?? performance.now();
    this.#firstSource = requestedAt === undefined ? "cache" : "gateway";
    this.#chart = chart;
    this.#changed = changed;
    chart.reset([], false);
    chart.setSecondsVisible(route.interval.endsWith("s"));
    this.#subscriptions =
      route.symbol === "" || route.interval === ""
        ? []
        : [
            stream.klines(route.symbol, route.interval, HISTORY, (event) => this.#klines(event)),
            stream.ticker(route.symbol, (event) => {
              if (event.kind === "ticker") this.#ticker = event.ticker;
              changed();
            }),
          ];
    this.#starting = false;
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.close();
  }

  get ticker(): Ticker | null {
    return this.#ticker;
  }

  get newest(): Kline | null {
    return newestKline(this.#series);
  }

  get lastClosed(): Kline | null {
    return newestClosed(this.#series);
  }

  get bars(): number {
    return this.#series.closed.length + (this.#series.forming === null ? 0 : 1);
  }

  get price(): number | null {
    return this.#ticker?.c ?? this.newest?.close ?? null;
  }

  get digits(): number {
    return Math.max(this.#digits, digitsOfTicker(this.#ticker));
  }

  /** Where candles are missing. */
  get gaps(): readonly Gap[] {
    return this.#gaps;
  }

  /** Whether the candles are aggregated: the source has none of this interval. */
  get derived(): boolean {
    return this.#subscriptions[0]?.derived ?? false;
  }

  get status(): ChannelStatus {
    return this.#subscriptions[0]?.status ?? NOTHING;
  }

  /** `null`: there are no candles yet. */
  get shown(): Shown | null {
    return this.#shown;
  }

  /** When the candles' last message arrived (wall clock, ms); `null`: there was none. */
  get lastMessageAt(): number | null {
    return this.#subscriptions[0]?.lastMessageAt || null;
  }

  #klines(event: KlineEvent): void {
    if (event.kind === "reset") {
      const jump = this.bars === 0;
      const bars = allKlines(event.series);
      this.#take(event.series, bars);
      this.#chart.reset(bars, jump);
      if (this.#shown === null && bars.length > 0) {
        // Cached candles arrive within the constructor, others later.
        this.#shown = {
          from: this.#starting ? this.#firstSource : "gateway",
          ms: performance.now() - this.#requestedAt,
        };
      }
    } else if (event.kind === "klines") {
      this.#take(event.series, event.klines);
      for (const bar of event.klines) this.#chart.push(bar);
      if (this.#chart.full) this.#chart.reset(allKlines(event.series), false);
    }
    this.#changed();
  }

  #take(series: Series, bars: readonly Kline[]): void {
    const digits = digitsOfBars(this.#digits, bars);
    if (digits !== this.#digits || this.bars === 0) this.#chart.setDigits(digits);
    this.#digits = digits;
    if (series.closed !== this.#series.closed) this.#gaps = gapsIn(allKlines(series));
    this.#series = series;
  }
}
