import { expect, test } from "vitest";
import { kline } from "../../clients/web/test/builders";
import { digitsOf, digitsOfBars, digitsOfTicker } from "../src/page/precision";

test.each([
  [97000, 0],
  [97000.1, 1],
  [0.00001234, 8],
  [1e-7, 7],
  [1.25e-7, 9],
  [1e21, 0],
  [1.5e21, 0],
  [1e-30, 10],
])("%f has %i digits after the point", (value, digits) => {
  expect(digitsOf(value)).toBe(digits);
});

test("bars show the most digits any of their prices ever had", () => {
  const bars = [kline(1, { open: 1.5 }), kline(2, { high: 2.25 }), kline(3, { low: 1.125 }), kline(4, { close: 1 })];
  expect(digitsOfBars(0, bars)).toBe(3);
  expect(digitsOfBars(5, bars)).toBe(5);
});

test("a ticker's digits are those of its prices, as far as there are any", () => {
  expect(digitsOfTicker({ c: 1.5, o: 1.25, v: 1.12345 })).toBe(2);
  expect(digitsOfTicker(null)).toBe(0);
});
