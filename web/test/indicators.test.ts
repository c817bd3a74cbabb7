import type { Kline } from "kline-gateway-client";
import { describe, expect, test } from "vitest";
import {
  exponentialAverage,
  type Indicator,
  movingAverage,
  Running,
  relativeStrength,
  volumeWeightedPrice,
} from "../src/page/indicators";

const MINUTE = 60_000;
const DAY = 86_400_000;

function bar(minute: number, close: number, over: Partial<Kline> = {}): Kline {
  const openTime = minute * MINUTE;
  return {
    openTime,
    closeTime: openTime + MINUTE - 1,
    open: close,
    high: close,
    low: close,
    close,
    volume: 1,
    quoteVolume: close,
    trades: 1,
    isClosed: true,
    ...over,
  };
}

const closes = (values: readonly number[]): Kline[] => values.map((close, minute) => bar(minute, close));
const values = <S>(indicator: Indicator<S>, bars: readonly Kline[]) => new Running(indicator).reset(bars);
const rounded = (all: readonly (number | null)[], digits: number) =>
  all.map((value) => (value === null ? null : Number(value.toFixed(digits))));

// The closes of Wilder's example as StockCharts publishes them, with its RSI of 14 and the moving averages of ten.
const PRICES = [
  44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328, 45.614,
  46.282, 46.282, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439,
];
const TEN = [22.27, 22.19, 22.08, 22.17, 22.18, 22.13, 22.23, 22.43, 22.24, 22.29, 22.15, 22.39, 22.38, 22.61, 23.36];

describe("known values", () => {
  test("of the moving average", () => {
    expect(rounded(values(movingAverage(10), closes(TEN)), 2)).toEqual([
      ...Array(9).fill(null),
      22.22,
      22.21,
      22.23,
      22.26,
      22.3,
      22.42,
    ]);
  });

  test("of the exponential average", () => {
    expect(rounded(values(exponentialAverage(10), closes(TEN)), 2)).toEqual([
      ...Array(9).fill(null),
      22.22,
      22.21,
      22.24,
      22.27,
      22.33,
      22.52,
    ]);
  });

  test("of the relative strength index", () => {
    expect(rounded(values(relativeStrength(14), closes(PRICES)), 2)).toEqual([
      ...Array(14).fill(null),
      70.53,
      66.32,
      66.55,
      69.41,
      66.36,
      57.97,
    ]);
    expect(values(relativeStrength(2), closes([5, 5, 5])).at(-1)).toBe(50);
    expect(values(relativeStrength(2), closes([5, 6, 7])).at(-1)).toBe(100);
    expect(values(relativeStrength(2), closes([7, 6, 5])).at(-1)).toBe(0);
  });

  test("of the volume-weighted price, from the begin of the day", () => {
    const first = DAY / MINUTE;
    const bars = [
      bar(first - 1, 50, { volume: 9 }),
      bar(first, 10, { high: 12, low: 8, volume: 3 }),
      bar(first + 1, 20, { volume: 1 }),
    ];
    expect(values(volumeWeightedPrice(), bars)).toEqual([null, 10, 12.5]);
    expect(values(volumeWeightedPrice(), bars.slice(1))).toEqual([10, 12.5]);
    expect(values(volumeWeightedPrice(), bars.slice(2))).toEqual([null]);
    expect(values(volumeWeightedPrice(), [bar(first, 10, { volume: 0 })])).toEqual([null]);
  });
});

describe.each<[string, Indicator<unknown>]>([
  ["moving average", movingAverage(5) as Indicator<unknown>],
  ["exponential average", exponentialAverage(5) as Indicator<unknown>],
  ["relative strength", relativeStrength(5) as Indicator<unknown>],
  ["volume-weighted price", volumeWeightedPrice() as Indicator<unknown>],
])("%s", (_name, indicator) => {
  test("is the same whether candles come at once or one by one, however often one forms", () => {
    const bars = closes(PRICES);
    const running = new Running(indicator);
    running.reset(bars.slice(0, 8));
    const last = bars.slice(8).map((full) => {
      for (const close of [1, 99, full.close - 1]) running.push({ ...full, close, isClosed: false });
      return running.push(full);
    });
    expect(last).toEqual(values(indicator, bars).slice(8));
  });

  test("costs one step an update, however many candles there are", () => {
    let steps = 0;
    const counted: Indicator<unknown> = {
      ...indicator,
      next: (state, one) => {
        steps += 1;
        return indicator.next(state, one);
      },
    };
    const running = new Running(counted);
    running.reset(closes(Array(1_000).fill(7)));
    steps = 0;
    running.push(bar(999, 8));
    expect(steps).toBe(1);
    running.push(bar(1_000, 9));
    expect(steps).toBe(3);
  });
});
