// Loads candles into the chart as one scrolls, and drops those that are far away. What there is of the window is decided
// in past.ts; this file asks the gateway, draws, and keeps what went wrong.

import { allKlines, type Kline, type KlineDataService, type KlinesPage, type Series } from "kline-gateway-client";
import type { CandleChart } from "./chart";
import { CandleWindow, lossText, type Side } from "./past";
import type { Route } from "./route";

/** Candles of one request. */
const PAGE = 1_000;
/** After an error, and where the data begins: archives grow. */
const RETRY_MS = 5_000;

export interface ScrollState {
  /** What is loaded just now. */
  readonly loading: Side | "there" | null;
  /** Why candles are missing, in words; "": none are. */
  readonly error: string;
  /** Whether the data begins with the chart's first candle. */
  readonly begins: boolean;
  /** Whether the chart's candles end with the newest. */
  readonly live: boolean;
  /** Whether the newest candle is out of sight. */
  readonly away: boolean;
  /** The time in the middle, ms; `null`: one looks at the newest candles. */
  readonly at: number | null;
  /** Open times of the first and the last candle in sight, ms. */
  readonly from: number;
  readonly to: number;
}

export interface ScrollEvents {
  /** Candles that did not come from the stream. */
  loaded(klines: readonly Kline[]): void;
  /** Anything of `state` has changed, or the candles. */
  changed(): void;
}

export class ScrolledCandles {
  readonly #route: Route;
  readonly #service: KlineDataService;
  readonly #chart: CandleChart;
  readonly #events: ScrollEvents;
  readonly #window: CandleWindow;
  #series: Series = { closed: [], forming: null };
  #loading: ScrollState["loading"] = null;
  /** Answers to what was asked before the last jump are of no use. */
  #jumps = 0;
  #error = "";
  #retry: () => void = () => {};
  #retryAt = 0;
  /** The chart lacks the window's newest candles. */
  #behind = false;
  /** Candles are needed since then, ms. */
  #since: number | null = null;
  /** The time that was asked for, until somebody moves the chart. */
  #goal: number | null = null;

  /** The stream brings the first candles; where the route has a time they are those of `goTo`. */
  constructor(route: Route, service: KlineDataService, chart: CandleChart, events: ScrollEvents) {
    this.#route = route;
    this.#service = service;
    this.#chart = chart;
    this.#events = events;
    this.#window = new CandleWindow(route.at === null);
    chart.steering = {
      moved: () => this.#moved(),
      toBeginning: () => this.toBeginning(),
      toNewest: () => this.toNewest(),
    };
    chart.redraw([], false);
  }

  get bars(): readonly Kline[] {
    return this.#window.bars;
  }

  get state(): ScrollState {
    const { bars, begins, live } = this.#window;
    const range = this.#chart.range;
    const last = bars.length - 1;
    const inSight = (place: number): number => bars[Math.max(0, Math.min(last, place))]?.openTime ?? 0;
    // As the chart has it: where the newest candle is seen in part it makes room for the next one.
    const away = range !== null && last >= 0 && (!live || Math.ceil(range.to) < last);
    const goal = this.#chart.touched ? null : this.#goal;
    return {
      loading: this.#loading,
      error: this.#error,
      begins,
      live,
      away,
      at: away ? (goal ?? inSight(Math.round((range.from + range.to) / 2))) : null,
      from: range === null ? 0 : inSight(Math.ceil(range.from)),
      to: range === null ? 0 : inSight(Math.floor(range.to)),
    };
  }

  /** The stream's candles have changed as a whole. */
  reset(series: Series): void {
    this.#series = series;
    const [first, { away }] = [this.bars.length === 0, this.state];
    if (this.#window.reset(allKlines(series), away)) {
      if (first) this.#chart.reset(this.bars);
      else this.#chart.redraw(this.bars, away);
    }
    this.#chart.setLive(this.#window.live);
  }

  /** The stream's newest candles, in order. `series`: all of them. */
  push(klines: readonly Kline[], series: Series): void {
    this.#series = series;
    if (!this.#window.live) return;
    const { away } = this.state;
    for (const bar of klines) {
      this.#window.push(bar);
      // A candle more would move what is looked at while it is dragged.
      this.#behind = this.#behind || (away && this.#chart.held && !this.#chart.has(bar));
      if (!this.#behind) this.#chart.push(bar);
    }
    this.#trim();
  }

  /** Shows the candles around a time (ms). */
  goTo(time: number): void {
    this.#goal = time;
    this.#chart.forget();
    if (this.#window.covers(time)) {
      this.#jumps += 1;
      this.#settle(null, "");
      this.#center(time);
      this.#events.changed();
      return;
    }
    const { symbol, interval } = this.#route;
    const ask = async (): Promise<KlinesPage> => {
      const [older, newer] = await Promise.all([
        this.#service.fetchOlder(symbol, interval, Math.max(1, time), PAGE / 2),
        this.#service.fetchNewer(symbol, interval, time - 1, PAGE / 2),
      ]);
      return { klines: [...older.klines, ...newer.klines], end: older.end };
    };
    void this.#jump(ask, () => this.#center(time));
  }

  /** Shows the first candles there are. */
  toBeginning(): void {
    this.#goal = null;
    if (this.#window.begins) {
      this.#chart.toFirst();
      return;
    }
    const { symbol, interval } = this.#route;
    const ask = (): Promise<KlinesPage> => this.#service.fetchNewer(symbol, interval, -1, PAGE);
    void this.#jump(ask, () => this.#chart.toFirst());
  }

  toNewest(): void {
    this.#goal = null;
    this.#jumps += 1;
    this.#settle(null, "");
    if (!this.#window.live) {
      this.#window.show([], false, allKlines(this.#series));
      this.#draw(false);
      this.#chart.fitPrices();
    }
    this.#chart.toNewest();
    this.#events.changed();
  }

  /** Loads what is missing since a time (ms), also where nobody looks at it; `null`: nothing is needed. */
  need(since: number | null): void {
    this.#since = since;
    if (since !== null) void this.#load();
  }

  /** Asks again for what could not be loaded. */
  retry(): void {
    this.#error = "";
    this.#retryAt = 0;
    this.#retry();
  }

  /** What is under way is not needed any more. */
  close(): void {
    this.#jumps += 1;
  }

  #moved(): void {
    if (!this.#chart.held && this.#behind) this.#draw(true);
    if (!this.#chart.held) this.#trim();
    if (this.#chart.touched || this.#jumps > 0 || this.#since !== null) void this.#load();
    this.#events.changed();
  }

  async #load(): Promise<void> {
    const range = this.#chart.range;
    const [first, last] = [this.bars[0], this.bars.at(-1)];
    const now = Date.now();
    if (range === null || first === undefined || last === undefined || this.#loading !== null) return;
    const side = this.#window.wants(range, now >= this.#retryAt, this.#since);
    if (side === null || (this.#error !== "" && now < this.#retryAt)) return;
    // Candles after the last one would move what is looked at while it is dragged: they are loaded when it is released.
    if (side === "newer" && this.#chart.held) return;
    const jumps = this.#jumps;
    this.#settle(side, "");
    const { symbol, interval } = this.#route;
    // Before its hello the gateway has not said how many it gives.
    const limit = this.#service.stream.info.hello === null ? this.#service.pageSize : PAGE;
    try {
      const page =
        side === "older"
          ? await this.#service.fetchOlder(symbol, interval, first.openTime, limit)
          : await this.#service.fetchNewer(symbol, interval, last.openTime, limit);
      if (jumps !== this.#jumps) return;
      if (side === "newer" && this.#chart.held) this.#settle(null, "");
      else this.#take(side, page);
    } catch (error) {
      if (jumps !== this.#jumps) return;
      this.#fail(side, error, () => void this.#load());
    }
    // One may have come to the other edge meanwhile, or still be at this one.
    this.#moved();
  }

  #take(side: Side, page: KlinesPage): void {
    this.#settle(null, "");
    this.#events.loaded(page.klines);
    if (side === "older") this.#window.prepend(page);
    else this.#window.append(page, allKlines(this.#series));
    if (page.klines.length > 0 || (side === "newer" && page.end)) this.#draw(true);
    else if (page.end) this.#retryAt = Date.now() + RETRY_MS;
    else this.#fail(side, null, () => void this.#load());
  }

  /** Shows other candles, which `ask` asks for, and scrolls to the right ones of them. */
  async #jump(ask: () => Promise<KlinesPage>, scroll: () => void): Promise<void> {
    this.#jumps += 1;
    const jumps = this.#jumps;
    this.#settle("there", "");
    this.#events.changed();
    try {
      const { klines, end } = await ask();
      if (jumps !== this.#jumps) return;
      this.#settle(null, "");
      this.#events.loaded(klines);
      const first = this.bars.length === 0;
      this.#window.show(klines, end, allKlines(this.#series));
      if (first) this.#chart.reset(this.bars, this.#window.placeOf(this.#goal ?? 0));
      else this.#draw(false);
      this.#chart.fitPrices();
      this.#chart.setLive(this.#window.live);
      if (klines.length === 0) this.#chart.toNewest();
      else scroll();
    } catch (error) {
      if (jumps !== this.#jumps) return;
      // A page that opened at this time has nothing yet: it begins with the newest candles.
      if (this.bars.length === 0) this.toNewest();
      this.#fail("there", error, () => void this.#jump(ask, scroll));
    }
    this.#events.changed();
  }

  #settle(loading: ScrollState["loading"], error: string): void {
    this.#loading = loading;
    this.#error = error;
  }

  #fail(what: Side | "there", error: unknown, again: () => void): void {
    this.#settle(null, lossText(what, error));
    this.#retryAt = Date.now() + RETRY_MS;
    this.#retry = again;
  }

  #center(time: number): void {
    const newest = this.bars.at(-1);
    if (this.#window.live && newest !== undefined && time > newest.openTime) this.#chart.toNewest();
    else this.#chart.center(this.#window.placeOf(time));
  }

  #trim(): void {
    const [range, { away }] = [this.#chart.range, this.state];
    if (range !== null && !this.#chart.held && this.#window.trim(range)) this.#draw(away);
  }

  #draw(stay: boolean): void {
    this.#behind = false;
    this.#chart.redraw(this.bars, stay);
    this.#chart.setLive(this.#window.live);
  }
}
