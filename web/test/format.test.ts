import { expect, test } from "vitest";
import { age, clockText, compact, countdown, pair, percent, price, seconds, sign } from "../src/page/format";

test.each([
  [97123.4, 2, "97,123.40"],
  [97123.4, 2, "97,123.40"],
  [0.00001234, 8, "0.00001234"],
  [5, 0, "5"],
])("price %f with %i digits reads %s", (value, digits, text) => {
  expect(price(value, digits)).toBe(text);
});

test("percent carries its sign, but zero", () => {
  expect([1.234, -0.5, 0, -0.001].map(percent)).toEqual(["+1.23%", "-0.50%", "0.00%", "0.00%"]);
});

test("sign", () => {
  expect([1, -1, 0].map(sign)).toEqual(["up", "down", "none"]);
});

test("compact", () => {
  expect([12, 123_456, 9_876_543_210].map(compact)).toEqual(["12", "123.46K", "9.88B"]);
});

test.each([
  [-5, "<1 s"],
  [999, "<1 s"],
  [1_000, "1 s"],
  [59_999, "59 s"],
  [60_000, "1 min"],
  [3_600_000, "1 h"],
])("an age of %i ms reads %s", (ms, text) => {
  expect(age(ms)).toBe(text);
});

test.each([
  [-1, "0:00"],
  [1, "0:01"],
  [59_001, "1:00"],
  [754_000, "12:34"],
  [3_909_000, "1:05:09"],
  [90_000_000, "1d 1h"],
])("%i ms left read %s", (ms, text) => {
  expect(countdown(ms)).toBe(text);
});

test.each([
  ["BTCUSDT", "BTC", "USDT"],
  ["1000SATSFDUSD", "1000SATS", "FDUSD"],
  ["ETHBTC", "ETH", "BTC"],
  ["USDT", "USDT", ""],
  ["BTC-USDT", "BTC", "USDT"],
  ["ETH/BTC", "ETH", "BTC"],
  ["币安人生USDT", "币安人生", "USDT"],
  ["GOLD", "GOLD", ""],
])("%s is %s and %s", (symbol, base, quote) => {
  expect(pair(symbol)).toEqual({ base, quote });
});

test.each([
  [0.4, "0.01 s"],
  [63, "0.06 s"],
  [999, "1.00 s"],
  [1_101, "1.1 s"],
])("%d ms is told as %s", (ms, text) => {
  expect(seconds(ms)).toBe(text);
});

test.each([
  [-999, "right"],
  [4_200, "4 s behind"],
  [-61_000, "1 min ahead"],
])("a clock that is %d ms off is told as %s", (offset, text) => {
  expect(clockText(offset)).toBe(text);
});
