// The candlestick chart with its volume. It knows no stream and keeps no bars but the chart's own.

import type { Kline } from "kline-gateway-client";
import {
  type CandlestickData,
  CandlestickSeries,
  type ChartOptions,
  ColorType,
  CrosshairMode,
  createChart,
  type DeepPartial,
  type HistogramData,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  type Logical,
} from "lightweight-charts";
import { candleOf, type ShownBar, shownBar, timeOf } from "./bars";
import { price } from "./format";
import { barsShown, PRICES, RIGHT_BARS, VOLUMES } from "./geometry";
import { Hold } from "./hold";
import type { VisibleRange } from "./past";
import { Viewport } from "./viewport";

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

export class CandleChart {
  readonly #box: HTMLElement;
  readonly #chart: IChartApi;
  readonly #candles: ISeriesApi<"Candlestick">;
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
  /** Open times of the candles, s. */
  #times: number[] = [];
  /** Its candles change: what it says in between is not true. */
  #drawing = false;
  #digits = 2;
  #old = false;
  #dim = "";
  #upVolume = "";
  #downVolume = "";

  constructor(box: HTMLElement, hovered: (bar: ShownBar | null) => void) {
    this.#box = box;
    this.#chart = createChart(box, {
      autoSize: true,
      crosshair: { mode: CrosshairMode.Normal },
      localization: { priceFormatter: (value: number) => price(value, this.#digits) },
      handleScale: { axisPressedMouseMove: { time: true, price: true } },
      timeScale: { secondsVisible: false, timeVisible: true, rightOffset: RIGHT_BARS, minBarSpacing: 1.5 },
      rightPriceScale: { scaleMargins: PRICES },
      // The credit is in the page's footer: the chart's own logo adds a style element, which the security policy forbids.
      layout: { attributionLogo: false },
    });
    this.#candles = this.#chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineWidth: 1 });
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceFormat: { type: "volume" },
      priceScaleId: "",
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#volumes.priceScale().applyOptions({ scaleMargins: VOLUMES });
    this.#chart.subscribeCrosshairMove((move) => {
      const candle = move.seriesData.get(this.#candles) as CandlestickData | undefined;
      const volume = move.seriesData.get(this.#volumes) as HistogramData | undefined;
      hovered(candle === undefined ? null : shownBar(candle, volume?.value ?? 0));
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

  /** Reads its colours from the style sheet; call it again when the colour scheme changes. */
  paint(): void {
    const style = getComputedStyle(this.#box);
    const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
    const line = colour("line");
    const options: DeepPartial<ChartOptions> = {
      layout: {
        background: { type: ColorType.Solid, color: colour("ground") },
        textColor: colour("dim"),
        fontFamily: style.fontFamily,
        fontSize: 11,
        panes: { separatorColor: line },
      },
      grid: { vertLines: { color: colour("grid") }, horzLines: { color: colour("grid") } },
      crosshair: {
        vertLine: { color: colour("dim"), labelBackgroundColor: colour("label") },
        horzLine: { color: colour("dim"), labelBackgroundColor: colour("label") },
      },
      timeScale: { borderColor: line },
      rightPriceScale: { borderColor: line },
    };
    this.#chart.applyOptions(options);
    const [up, down] = [colour("up"), colour("down")];
    this.#candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.#dim = colour("label");
    if (this.#old) this.#candles.applyOptions({ priceLineColor: this.#dim });
    this.#upVolume = colour("up-soft");
    this.#downVolume = colour("down-soft");
    this.#volumes.setData(
      this.#volumes.data().map((item, index) => {
        const candle = this.#candles.data()[index] as CandlestickData;
        return { ...item, color: candle.close < candle.open ? this.#downVolume : this.#upVolume };
      }),
    );
  }

  /** Draws everything anew at the usual zoom, with the bar at `place` in the middle, or the newest bars at the right. */
  reset(bars: readonly Kline[], place?: number): void {
    this.#setData(bars);
    const shown = barsShown(this.#box.clientWidth);
    const half = (shown + RIGHT_BARS) / 2;
    this.fitPrices();
    this.#view.show(
      place === undefined
        ? { from: bars.length - shown, to: bars.length + RIGHT_BARS }
        : { from: place - half, to: place + half },
    );
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
    this.#candles.update(candleOf(bar));
    this.#volumes.update(this.#volumeOf(bar));
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
    this.#candles.applyOptions({ lastValueVisible: live, priceLineVisible: live });
  }

  /** Whether its last price is not the market's present one: the mark on the scale says so. */
  setOld(old: boolean): void {
    if (old === this.#old) return;
    this.#old = old;
    this.#candles.applyOptions({ priceLineColor: old ? this.#dim : "" });
  }

  setDigits(digits: number): void {
    this.#digits = digits;
    this.#candles.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
  }

  setSecondsVisible(visible: boolean): void {
    this.#chart.applyOptions({ timeScale: { secondsVisible: visible } });
  }

  /** The bars that the chart itself has. */
  bars(): readonly ShownBar[] {
    const volumes = this.#volumes.data() as readonly HistogramData[];
    return (this.#candles.data() as readonly CandlestickData[]).map((candle, index) =>
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
    this.#candles.setData(bars.map(candleOf));
    this.#volumes.setData(bars.map((bar) => this.#volumeOf(bar)));
    this.#times = bars.map(timeOf);
    this.#view.count = bars.length;
    this.#drawing = false;
  }

  #volumeOf(bar: Kline): HistogramData {
    return {
      time: timeOf(bar),
      value: bar.volume,
      color: bar.close < bar.open ? this.#downVolume : this.#upVolume,
    };
  }
}
