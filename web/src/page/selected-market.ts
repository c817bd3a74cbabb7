// The market that the page shows: its candles and ticker, from the stream into the chart. Closed when another is selected.

import {
  allKlines,
  type ChannelStatus,
  type Kline,
  type KlineDataService,
  type KlineEvent,
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
import { ScrolledCandles } from "./scroll";

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
  /** What the chart holds of it. */
  readonly candles: ScrolledCandles;
  #subscriptions: readonly Subscription[] = [];
  #starting = true;
  #series: Series = { closed: [], forming: null };
  #ticker: Ticker | null = null;
  #digits = 0;
  #shown: Shown | null = null;
  #gaps: readonly Gap[] = [];
  /** Of which candles these are. */
  #gapsOf = "";

  /**
   * A route with an empty part selects nothing. `requestedAt`: when the page requested the candles before this (ms since the
   * start of the navigation); the cached candles then came from the gateway just now.
   */
  constructor(route: Route, service: KlineDataService, chart: CandleChart, changed: () => void, requestedAt?: number) {
    this.route = route;
    this.#requestedAt = requestedAt ?? performance.now();
    this.#firstSource = requestedAt === undefined ? "cache" : "gateway";
    this.#chart = chart;
    this.#changed = changed;
    this.candles = new ScrolledCandles(route, service, chart, {
      loaded: (klines) => this.#showDigits(klines),
      changed: () => {
        this.#noteShown("gateway");
        changed();
      },
    });
    if (route.at !== null) this.candles.goTo(route.at);
    chart.setSecondsVisible(route.interval.endsWith("s"));
    const { stream } = service;
    this.#subscriptions =
      route.symbol === "" || route.interval === ""
        ? []
        : [
            stream.klines(route.symbol, route.interval, HISTORY, (event) => this.#klines(event)),
            stream.ticker(route.symbol, (event) => {
              if (event.kind === "ticker") {
                this.#ticker = event.ticker;
                this.#showDigits([]);
              }
              changed();
            }),
          ];
    this.#starting = false;
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.close();
    this.candles.close();
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

  /** Candles in the chart. */
  get bars(): number {
    return this.candles.bars.length;
  }

  get price(): number | null {
    // Without a stream the ticker stands still, and the candles may be polled.
    const ticker = this.status.state === "waiting" && this.newest !== null ? undefined : this.#ticker?.c;
    return ticker ?? this.newest?.close ?? null;
  }

  get digits(): number {
    return this.#digits;
  }

  /** Where candles are missing. */
  get gaps(): readonly Gap[] {
    const newest = this.candles.bars.at(-1);
    const key = `${this.candles.bars[0]?.openTime} ${this.bars} ${newest?.openTime}`;
    if (key !== this.#gapsOf) this.#gaps = gapsIn(this.candles.bars);
    this.#gapsOf = key;
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
      this.#series = event.series;
      this.#showDigits(allKlines(event.series));
      this.candles.reset(event.series);
      // Cached candles arrive within the constructor, others later.
      this.#noteShown(this.#starting ? this.#firstSource : "gateway");
    } else if (event.kind === "klines") {
      this.#series = event.series;
      this.#showDigits(event.klines);
      this.candles.push(event.klines, event.series);
    }
    this.#changed();
  }

  #noteShown(from: Shown["from"]): void {
    if (this.#shown !== null || this.bars === 0) return;
    this.#shown = { from, ms: performance.now() - this.#requestedAt };
  }

  #showDigits(klines: readonly Kline[]): void {
    const digits = digitsOfBars(Math.max(this.#digits, digitsOfTicker(this.#ticker)), klines);
    if (digits !== this.#digits || this.bars === 0) this.#chart.setDigits(digits);
    this.#digits = digits;
  }
}
