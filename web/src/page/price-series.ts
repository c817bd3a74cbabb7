// The candles in the chart, drawn as somebody likes them. The candle series always has them; where bars or a line are wanted
// another series draws them on top, and the candles themselves are not seen.

import type { Kline } from "kline-gateway-client";
import {
  AreaSeries,
  BarSeries,
  type CandlestickData,
  CandlestickSeries,
  type IChartApiBase,
  type ISeriesApi,
  LineSeries,
  type Time,
} from "lightweight-charts";
import { candleOf } from "./bars";
import type { Colour } from "./chart-options";
import type { Preferences } from "./preferences";

type Type = Preferences["type"];
type Drawn = ISeriesApi<"Bar" | "Line" | "Area" | "Candlestick">;

const NOTHING = "rgba(0, 0, 0, 0)";

export class PriceSeries {
  readonly candles: ISeriesApi<"Candlestick">;
  readonly #chart: IChartApiBase<Time>;
  #type: Type = "candles";
  /** What draws them instead. */
  #drawn: Drawn | null = null;
  #live = true;
  #oldColour = "";
  #format = {};

  constructor(chart: IChartApiBase<Time>) {
    this.#chart = chart;
    this.candles = chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineWidth: 1 });
  }

  set(bars: readonly Kline[]): void {
    this.candles.setData(bars.map(candleOf));
    this.#drawn?.setData(bars.map((bar) => this.#itemOf(candleOf(bar))) as never);
  }

  /** The newest bar or the one after it; the chart throws at an older one. */
  push(bar: Kline): void {
    this.candles.update(candleOf(bar));
    this.#drawn?.update(this.#itemOf(candleOf(bar)) as never);
  }

  /** Draws them in these colours, and as that type. */
  paint(type: Type, colour: Colour): void {
    const [up, down] = [colour("up"), colour("down")];
    const solid = type === "candles" || type === "hollow";
    this.candles.applyOptions({
      upColor: solid && type !== "hollow" ? up : NOTHING,
      downColor: solid ? down : NOTHING,
      wickVisible: solid,
      wickUpColor: up,
      wickDownColor: down,
      borderVisible: type === "hollow",
      borderUpColor: up,
      borderDownColor: down,
    });
    if (type !== this.#type) this.#change(type);
    const accent = colour("accent");
    if (type === "bars") this.#drawn?.applyOptions({ upColor: up, downColor: down });
    if (type === "line") this.#drawn?.applyOptions({ color: accent });
    if (type === "area") {
      this.#drawn?.applyOptions({ lineColor: accent, topColor: colour("accent-soft"), bottomColor: NOTHING });
    }
  }

  /** Whether its last price is marked on the scale. `oldColour`: that of the mark where the price is old; "": it is not. */
  mark(live: boolean, oldColour: string): void {
    this.#live = live;
    this.#oldColour = oldColour;
    const on = { lastValueVisible: live, priceLineVisible: live, priceLineColor: oldColour };
    const off = { lastValueVisible: false, priceLineVisible: false };
    this.candles.applyOptions(this.#drawn === null ? on : off);
    this.#drawn?.applyOptions(on);
  }

  /** How prices are written. */
  set format(format: object) {
    this.#format = format;
    this.candles.applyOptions({ priceFormat: format });
    this.#drawn?.applyOptions({ priceFormat: format });
  }

  #change(type: Type): void {
    this.#type = type;
    if (this.#drawn !== null) this.#chart.removeSeries(this.#drawn);
    const options = { lineWidth: 2, priceLineWidth: 1, priceFormat: this.#format } as const;
    this.#drawn =
      type === "bars"
        ? this.#chart.addSeries(BarSeries, { thinBars: false, priceFormat: this.#format })
        : type === "line"
          ? this.#chart.addSeries(LineSeries, options)
          : type === "area"
            ? this.#chart.addSeries(AreaSeries, options)
            : null;
    this.#drawn?.setData(
      (this.candles.data() as readonly CandlestickData<Time>[]).map((item) => this.#itemOf(item)) as never,
    );
    this.mark(this.#live, this.#oldColour);
  }

  #itemOf(candle: CandlestickData<Time>): object {
    return this.#type === "bars" ? candle : { time: candle.time, value: candle.close };
  }
}
