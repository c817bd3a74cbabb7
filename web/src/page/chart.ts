// The candlestick chart with its volume. It knows no stream and keeps no bars but the chart's own.

import type { Kline } from "kline-gateway-client";
import {
  type CandlestickData,
  createChartEx,
  type HistogramData,
  HistogramSeries,
  type IChartApiBase,
  type ISeriesApi,
  type Logical,
  PriceScaleMode,
  type Time,
} from "lightweight-charts";
import { type ShownBar, shownBar, timeOf } from "./bars";
import { coloursOf, optionsOf, paintOf } from "./chart-options";
import { price } from "./format";
import { barsShown, RIGHT_BARS, VOLUMES } from "./geometry";
import { Hold } from "./hold";
import type { VisibleRange } from "./past";
import { DEFAULTS, type Preferences } from "./preferences";
import { PriceSeries } from "./price-series";
import { Studies, type StudyValue } from "./studies";
import { Viewport } from "./viewport";
import type { Zone } from "./zone";
import { ZonedScale } from "./zoned-scale";

/** What the chart cannot do alone, because it does not know what candles there are. */
export interface Steering {
  /** Another part of the chart is seen, or it was released. */
  moved(): void;
  /** To the first candle there is. */
  toBeginning(): void;
  toNewest(): void;
}

/** Where the first candle stands in a chart that shows where the data begins, as a share of the width. */
const BEGINNING = 0.15;
const SECOND_MS = 1_000;

export class CandleChart {
  readonly #box: HTMLElement;
  readonly #chart: IChartApiBase<Time>;
  readonly #scale = new ZonedScale();
  readonly #prices: PriceSeries;
  readonly #studies: Studies;
  readonly #volumes: ISeriesApi<"Histogram">;
  readonly #hold: Hold;
  readonly #view: Viewport;
  #steering: Steering | null = null;
  /** What keys do. */
  readonly #acts: Record<string, () => void> = {
    ArrowLeft: () => this.#view.turn(-0.1),
    ArrowRight: () => this.#view.turn(0.1),
    "+": () => this.#view.zoom(0.8),
    "=": () => this.#view.zoom(0.8),
    "-": () => this.#view.zoom(1.25),
    Home: () => this.#steering?.toBeginning(),
    End: () => this.#steering?.toNewest(),
  };
  /** As they are drawn. */
  #bars: Kline[] = [];
  /** Open times of the candles, s. */
  #times: number[] = [];
  /** Its candles change: what it says in between is not true. */
  #drawing = false;
  #chosen: Preferences = DEFAULTS;
  #digits = 2;
  #seconds = false;
  #live = true;
  #old = false;
  /** How many candles wide what is seen was last. */
  #span: number | null = null;
  #upVolume = "";
  #downVolume = "";

  constructor(box: HTMLElement, hovered: (bar: ShownBar | null, studies: readonly StudyValue[]) => void) {
    this.#box = box;
    const options = optionsOf({
      cursor: (time) => this.#zone.text(time * SECOND_MS, this.#seconds ? "seconds" : "minutes"),
      mark: (time, kind) => this.#zone.markText(time * SECOND_MS, kind),
    });
    this.#chart = createChartEx<Time, ZonedScale>(box, this.#scale, options);
    this.#prices = new PriceSeries(this.#chart);
    this.#studies = new Studies(this.#chart);
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceFormat: { type: "volume" },
      priceScaleId: "",
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#volumes.priceScale().applyOptions({ scaleMargins: VOLUMES });
    this.#chart.subscribeCrosshairMove((move) => {
      const candle = move.seriesData.get(this.#prices.candles) as CandlestickData | undefined;
      const volume = move.seriesData.get(this.#volumes) as HistogramData | undefined;
      if (candle === undefined) hovered(null, []);
      else hovered(shownBar(candle, volume?.value ?? 0), this.#studies.values(move.seriesData));
    });
    this.#hold = new Hold(box, () => this.#steering?.moved());
    this.#view = new Viewport(this.#chart.timeScale(), () => this.#steering?.moved());
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange(() => {
      if (this.#drawing) return;
      this.#hold.moved();
      this.#steering?.moved();
    });
    box.addEventListener("keydown", (event) => this.#steer(event));
    this.paint();
  }

  /** Whom to tell of what somebody does to the chart. */
  set steering(steering: Steering) {
    this.#steering = steering;
    this.#hold.forget();
  }

  /** Whether somebody has moved the chart since `steering` was set, or `forget` was called. */
  get touched(): boolean {
    return this.#hold.touched;
  }

  forget(): void {
    this.#hold.forget();
  }

  /** Whether it is being dragged, or still moves after that: its right end may not change until it is released. */
  get held(): boolean {
    return this.#hold.held;
  }

  /** What is seen of the candles; `null`: there are none. */
  get range(): VisibleRange | null {
    return this.#view.range;
  }

  /** The indicators' newest values. */
  get studies(): readonly StudyValue[] {
    return this.#studies.values();
  }

  /** Draws as somebody has chosen; `zone`: whose clocks the time scale shows. */
  choose(chosen: Preferences, zone: Zone): void {
    const moved = zone.name !== this.#zone.name;
    this.#chosen = chosen;
    this.#scale.zone = zone;
    this.#chart.applyOptions({
      rightPriceScale: { mode: chosen.log ? PriceScaleMode.Logarithmic : PriceScaleMode.Normal },
    });
    this.#volumes.applyOptions({ visible: chosen.volume });
    this.#studies.choose(chosen, this.#bars);
    this.paint();
    // The marks of the time scale are made with the candles.
    if (moved) this.redraw(this.#bars, true);
  }

  /** Reads its colours from the style sheet; call it again when the colour scheme changes. */
  paint(): void {
    const colour = coloursOf(this.#box);
    this.#chart.applyOptions(paintOf(colour, getComputedStyle(this.#box).fontFamily));
    this.#prices.paint(this.#chosen.type, colour);
    this.#studies.paint(colour);
    this.#mark();
    this.#upVolume = colour("up-soft");
    this.#downVolume = colour("down-soft");
    this.#volumes.setData(this.#bars.map((bar) => this.#volumeOf(bar)));
  }

  /** Draws everything anew at the zoom there was, or the usual one, with the bar at `place` in the middle, or the newest bars at the right. */
  reset(bars: readonly Kline[], place?: number): void {
    this.#setData(bars);
    const span = this.#span ?? barsShown(this.#box.clientWidth) + RIGHT_BARS;
    const to = place === undefined ? bars.length + RIGHT_BARS : place + span / 2;
    this.fitPrices();
    this.#view.show({ from: to - span, to });
  }

  /**
   * Draws everything anew, at the same zoom. `stay`: what is seen stays where it is, whatever candles come or go on either
   * side; otherwise the distance to the last one does.
   */
  redraw(bars: readonly Kline[], stay: boolean): void {
    const [range, before] = [this.range, this.#times];
    this.#setData(bars);
    if (range === null || bars.length === 0) return;
    // A candle that is seen, where there is one.
    const place = Math.max(0, Math.min(Math.floor(range.to), before.length - 1));
    const now = this.#times.indexOf(before[place] ?? 0);
    const moved = stay && now >= 0 ? now - place : bars.length - before.length;
    this.#view.scroll(range.to + moved, range);
  }

  /** Draws the newest bar or the one after it; the chart throws at an older one. */
  push(bar: Kline): void {
    this.#prices.push(bar);
    this.#volumes.update(this.#volumeOf(bar));
    this.#studies.push(bar);
    if (this.#bars.at(-1)?.openTime === bar.openTime) this.#bars.pop();
    this.#bars.push(bar);
    const time = timeOf(bar);
    if (this.#times.at(-1) !== time) this.#view.count = this.#times.push(time);
  }

  /** Whether a bar is the newest one drawn, or older. */
  has(bar: Kline): boolean {
    return timeOf(bar) <= (this.#times.at(-1) ?? 0);
  }

  /** Scales the prices to what is seen, where somebody has scaled them by hand. */
  fitPrices(): void {
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
  }

  /** Scrolls to the newest bar, at the same zoom. */
  toNewest(): void {
    this.#view.toNewest();
  }

  /** Scrolls the bar at this place into the middle, at the same zoom. */
  center(place: number): void {
    this.#view.scrollTo(place, 0.5);
  }

  /** Scrolls to the first bar, at the same zoom. */
  toFirst(): void {
    this.#view.scrollTo(0, BEGINNING);
  }

  /** Pixels from the left where the bar at this place is; `null` where there is no chart yet. */
  xOf(place: number): number | null {
    return this.#chart.timeScale().logicalToCoordinate(place as Logical);
  }

  /** Whether the last bar is the market's newest: only then its price is marked on the scale. */
  setLive(live: boolean): void {
    this.#live = live;
    this.#mark();
  }

  /** Whether its last price is not the market's present one: the mark on the scale says so. */
  setOld(old: boolean): void {
    if (old === this.#old) return;
    this.#old = old;
    this.#mark();
  }

  setDigits(digits: number): void {
    this.#digits = digits;
    const minMove = 10 ** -digits;
    const format = { type: "custom", minMove, formatter: (value: number) => price(value, this.#digits) };
    this.#prices.format = format;
    this.#studies.format = format;
  }

  setSecondsVisible(visible: boolean): void {
    this.#seconds = visible;
    this.#chart.applyOptions({ timeScale: { secondsVisible: visible } });
  }

  /** A picture of what is seen. */
  picture(): HTMLCanvasElement {
    return this.#chart.takeScreenshot();
  }

  /** The bars that the chart itself has. */
  bars(): readonly ShownBar[] {
    const volumes = this.#volumes.data() as readonly HistogramData[];
    return (this.#prices.candles.data() as readonly CandlestickData[]).map((candle, index) =>
      shownBar(candle, volumes[index]?.value ?? 0),
    );
  }

  #steer(event: KeyboardEvent): void {
    if (this.range === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = this.#acts[event.key];
    if (act === undefined) return;
    event.preventDefault();
    this.#hold.touch();
    act();
  }

  #setData(bars: readonly Kline[]): void {
    this.#drawing = true;
    const { range } = this;
    if (range !== null && this.#times.length > 0) this.#span = range.to - range.from;
    this.#bars = [...bars];
    this.#prices.set(bars);
    this.#volumes.setData(bars.map((bar) => this.#volumeOf(bar)));
    this.#studies.set(bars);
    this.#times = bars.map(timeOf);
    this.#view.count = bars.length;
    this.#drawing = false;
  }

  get #zone(): Zone {
    return this.#scale.zone;
  }

  #mark(): void {
    this.#prices.mark(this.#live, this.#old ? coloursOf(this.#box)("label") : "");
  }

  #volumeOf(bar: Kline): HistogramData {
    return {
      time: timeOf(bar),
      value: bar.volume,
      color: bar.close < bar.open ? this.#downVolume : this.#upVolume,
    };
  }
}
