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
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import { price } from "./format";
import { barsShown, PRICES, RIGHT_BARS, VOLUMES } from "./geometry";

/** What the legend needs of the bar under the cursor. */
export interface ShownBar {
  readonly openTime: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}

const SECOND_MS = 1_000;
/** More than the 5,000 closed klines that the client library keeps. */
const MAX_DRAWN = 6_000;

export class CandleChart {
  readonly #box: HTMLElement;
  readonly #chart: IChartApi;
  readonly #candles: ISeriesApi<"Candlestick">;
  readonly #volumes: ISeriesApi<"Histogram">;
  #drawn = 0;
  #newest = 0;
  #digits = 2;
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
    box.addEventListener("keydown", (event) => this.#steer(event));
    this.paint();
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
    this.#upVolume = colour("up-soft");
    this.#downVolume = colour("down-soft");
    this.#volumes.setData(
      this.#volumes.data().map((item, index) => {
        const candle = this.#candles.data()[index] as CandlestickData;
        return { ...item, color: candle.close < candle.open ? this.#downVolume : this.#upVolume };
      }),
    );
  }

  /** Draws everything again. `jump`: also scroll to the newest bars, as for another market. */
  reset(bars: readonly Kline[], jump: boolean): void {
    this.#candles.setData(bars.map(candleOf));
    this.#volumes.setData(bars.map((bar) => this.#volumeOf(bar)));
    this.#drawn = bars.length;
    this.#newest = bars.at(-1)?.openTime ?? 0;
    if (!jump) return;
    const shown = barsShown(this.#box.clientWidth);
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
    this.#chart.timeScale().setVisibleLogicalRange({ from: bars.length - shown, to: bars.length + RIGHT_BARS });
  }

  /** Draws the newest bar or the one after it; the chart throws at an older one. */
  push(bar: Kline): void {
    this.#candles.update(candleOf(bar));
    this.#volumes.update(this.#volumeOf(bar));
    this.#drawn += bar.openTime === this.#newest ? 0 : 1;
    this.#newest = bar.openTime;
  }

  /** Whether it has far more bars than a series: the chart drops none by itself, however long the page is open. */
  get full(): boolean {
    return this.#drawn > MAX_DRAWN;
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
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const width = range.to - range.from;
    const zoom = (factor: number): void =>
      scale.setVisibleLogicalRange({ from: range.to - width * factor, to: range.to });
    switch (event.key) {
      case "ArrowLeft":
        scale.scrollToPosition(scale.scrollPosition() - width / 10, false);
        break;
      case "ArrowRight":
        scale.scrollToPosition(Math.min(RIGHT_BARS, scale.scrollPosition() + width / 10), false);
        break;
      case "+":
      case "=":
        zoom(0.8);
        break;
      case "-":
        zoom(1.25);
        break;
      case "End":
        scale.scrollToRealTime();
        break;
      default:
        return;
    }
    event.preventDefault();
  }

  #volumeOf(bar: Kline): HistogramData {
    return {
      time: timeOf(bar),
      value: bar.volume,
      color: bar.close < bar.open ? this.#downVolume : this.#upVolume,
    };
  }
}

function timeOf(bar: Kline): UTCTimestamp {
  return (bar.openTime / SECOND_MS) as UTCTimestamp;
}

function candleOf(bar: Kline): CandlestickData<Time> {
  return { time: timeOf(bar), open: bar.open, high: bar.high, low: bar.low, close: bar.close };
}

function shownBar({ time, open, high, low, close }: CandlestickData, volume: number): ShownBar {
  return { openTime: (time as UTCTimestamp) * SECOND_MS, open, high, low, close, volume };
}
