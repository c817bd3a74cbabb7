import { expect, test } from "vitest";
import { kline } from "../../clients/web/test/builders";
import { barsShown, candlesIn } from "../src/page/geometry";

const BOX = { width: 370, height: 100 };
const SHOWN = 30;

test("a chart begins with a bar every nine pixels, and with no fewer than thirty", () => {
  expect(barsShown(900)).toBe(100);
  expect(barsShown(90)).toBe(30);
});

test("the newest candle stands left of the room for the next ones, the prices between their margins", () => {
  const bars = [
    kline(1, { open: 10, high: 20, low: 10, close: 20, volume: 4 }),
    kline(2, { open: 20, high: 20, low: 15, close: 15, volume: 0 }),
  ];
  expect(candlesIn(bars, SHOWN, BOX)).toEqual([
    { rising: true, x: 285, high: 12, low: 76, top: 12, bottom: 76, volume: 82 },
    { rising: false, x: 295, high: 12, low: 44, top: 12, bottom: 44, volume: 100 },
  ]);
});

test("only what fits is drawn, and scaled by", () => {
  const bars = Array.from({ length: 40 }, (_, n) => kline(n, n < 10 ? { high: 1_000_000 } : {}));
  const candles = candlesIn(bars, SHOWN, BOX);
  expect(candles).toHaveLength(30);
  expect(candles[0]?.x).toBe(5);
  expect(Math.min(...candles.map(({ high }) => high))).toBeCloseTo(12);
});

test("without movement or trades it still stands", () => {
  const [candle] = candlesIn([kline(1, { open: 5, high: 5, low: 5, close: 5, volume: 0 })], SHOWN, BOX);
  expect(candle).toMatchObject({ top: 44, bottom: 44, volume: 100 });
});

test("there may be no bars at all", () => {
  expect(candlesIn([], SHOWN, BOX)).toEqual([]);
});
