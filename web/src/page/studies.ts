// The indicators in the chart: lines over the candles, and the relative strength in a pane of its own below them.

import type { Kline } from "kline-gateway-client";
import { type IChartApiBase, type ISeriesApi, LineSeries, LineStyle, type Time } from "lightweight-charts";
import { timeOf } from "./bars";
import {
  exponentialAverage,
  type Indicator,
  movingAverage,
  Running,
  relativeStrength,
  volumeWeightedPrice,
} from "./indicators";
import type { Preferences } from "./preferences";

/** What the legend says of one. */
export interface StudyValue {
  readonly name: string;
  /** The style sheet's variable. */
  readonly colour: string;
  readonly value: number | null;
  /** `false`: an index from 0 to 100. */
  readonly isPrice: boolean;
}

interface Study {
  readonly name: string;
  readonly colour: string;
  readonly isPrice: boolean;
  readonly running: Running<unknown>;
  readonly series: ISeriesApi<"Line">;
  last: number | null;
}

interface Wanted {
  readonly name: string;
  readonly colour: string;
  readonly isPrice?: boolean;
  readonly indicator: Indicator<never>;
}

/** Where Wilder's index says that much was bought, or sold. */
const BOUGHT = 70;
const SOLD = 30;
/** Shares of the height. */
const CANDLES_HEIGHT = 3;
const INDEX_HEIGHT = 1;

function wantedOf(chosen: Preferences): readonly Wanted[] {
  const { ma, maLength, ema, emaLength, vwap, rsi, rsiLength } = chosen;
  const all: readonly (Wanted | false)[] = [
    ma && { name: `MA ${maLength}`, colour: "ma", indicator: movingAverage(maLength) as Indicator<never> },
    ema && { name: `EMA ${emaLength}`, colour: "ema", indicator: exponentialAverage(emaLength) as Indicator<never> },
    vwap && { name: "VWAP", colour: "vwap", indicator: volumeWeightedPrice() as Indicator<never> },
    rsi && {
      ...{ name: `RSI ${rsiLength}`, colour: "rsi", isPrice: false },
      indicator: relativeStrength(rsiLength) as Indicator<never>,
    },
  ];
  return all.filter((one) => one !== false);
}

export class Studies {
  readonly #chart: IChartApiBase<Time>;
  #studies: readonly Study[] = [];
  #format = {};

  constructor(chart: IChartApiBase<Time>) {
    this.#chart = chart;
  }

  /** Shows those that are chosen, and removes the others. */
  choose(chosen: Preferences, bars: readonly Kline[]): void {
    const wanted = wantedOf(chosen);
    const before = new Map(this.#studies.map((study) => [study.name, study]));
    this.#studies = wanted.map((one) => before.get(one.name) ?? this.#add(one));
    const kept = new Set(this.#studies);
    for (const study of before.values()) if (!kept.has(study)) this.#chart.removeSeries(study.series);
    for (const study of this.#studies) if (!before.has(study.name)) fill(study, bars);
  }

  /** The values under the cursor, or the newest ones. */
  values(under?: ReadonlyMap<unknown, unknown>): readonly StudyValue[] {
    return this.#studies.map(({ name, colour, isPrice, series, last }) => {
      const point = under?.get(series) as { readonly value?: number } | undefined;
      return { name, colour, isPrice, value: under === undefined ? last : (point?.value ?? null) };
    });
  }

  set(bars: readonly Kline[]): void {
    for (const study of this.#studies) fill(study, bars);
  }

  push(bar: Kline): void {
    for (const study of this.#studies) {
      study.last = study.running.push(bar);
      study.series.update(pointOf(bar, study.last));
    }
  }

  paint(colour: (name: string) => string): void {
    for (const study of this.#studies) study.series.applyOptions({ color: colour(study.colour) });
  }

  set format(format: object) {
    this.#format = format;
    for (const { isPrice, series } of this.#studies) if (isPrice) series.applyOptions({ priceFormat: format });
  }

  #add({ name, colour, isPrice = true, indicator }: Wanted): Study {
    const series = this.#chart.addSeries(
      LineSeries,
      {
        lineWidth: 1,
        lastValueVisible: !isPrice,
        priceLineVisible: false,
        crosshairMarkerVisible: false,
        priceFormat: isPrice ? this.#format : { type: "price", precision: 1, minMove: 0.1 },
        // Candles alone scale the prices: a line far from them would press them flat.
        autoscaleInfoProvider: isPrice ? () => null : () => ({ priceRange: { minValue: 10, maxValue: 90 } }),
      },
      isPrice ? 0 : 1,
    );
    if (!isPrice) this.#frame(series);
    return {
      name,
      colour,
      isPrice,
      series,
      running: new Running<unknown>(indicator as Indicator<unknown>),
      last: null,
    };
  }

  #frame(series: ISeriesApi<"Line">): void {
    for (const price of [BOUGHT, SOLD]) {
      series.createPriceLine({
        price,
        lineWidth: 1,
        lineStyle: LineStyle.Dotted,
        axisLabelVisible: false,
        color: "#8e97a9",
      });
    }
    series.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.08 } });
    const [candles, index] = this.#chart.panes();
    candles?.setStretchFactor(CANDLES_HEIGHT);
    index?.setStretchFactor(INDEX_HEIGHT);
  }
}

function fill(study: Study, bars: readonly Kline[]): void {
  const values = study.running.reset(bars);
  study.last = values.at(-1) ?? null;
  study.series.setData(bars.map((bar, index) => pointOf(bar, values[index] ?? null)));
}

/** Where there is no value there is a hole in the line. */
function pointOf(bar: Kline, value: number | null) {
  return value === null ? { time: timeOf(bar) as Time } : { time: timeOf(bar) as Time, value };
}
