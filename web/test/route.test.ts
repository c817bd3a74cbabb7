import { expect, test } from "vitest";
import { complete, formatHash, parseHash } from "../src/page/route";

test.each([
  ["#BTCUSDT/1m", "BTCUSDT", "1m"],
  ["#/btcusdt/1M", "BTCUSDT", "1M"],
  ["#ETHUSDT", "ETHUSDT", ""],
  ["", "", ""],
  ["#<script>/1m", "", "1m"],
  ["#BTCUSDT/1x", "BTCUSDT", ""],
  ["#BTC%2FUSDT/1m", "BTC/USDT", "1m"],
  ["#BTC-USDT-SWAP/1m", "BTC-USDT-SWAP", "1m"],
  ["#币安人生USDT/1m", "币安人生USDT", "1m"],
  ["#%E5%B8%81USDT/1m", "币USDT", "1m"],
  ["#%E5%B8/1m", "", "1m"],
])("%s asks for %s and %s", (hash, symbol, interval) => {
  expect(parseHash(hash)).toEqual({ symbol, interval });
});

test.each(["BTCUSDT", "BTC/USDT", "币安人生USDT"])("a route to %s survives the address", (symbol) => {
  const route = { symbol, interval: "15m" };
  expect(parseHash(formatHash(route))).toEqual(route);
});

test.each([
  [{ symbol: "", interval: "" }, ["AAVEUSDT", "BTCUSDT"], ["1s", "1m"], "#BTCUSDT/1m"],
  [{ symbol: "", interval: "" }, ["AAVEUSDT"], ["5m"], "#AAVEUSDT/5m"],
  [{ symbol: "XUSDT", interval: "5m" }, ["AAVEUSDT"], ["1m", "5m"], "#XUSDT/5m"],
  [{ symbol: "XUSDT", interval: "1h" }, ["AAVEUSDT"], ["1m", "5m"], "#XUSDT/1m"],
  [{ symbol: "", interval: "" }, [], [], "#/"],
])("what is left open is filled from what there is (%#)", (route, symbols, intervals, hash) => {
  expect(formatHash(complete(route, symbols, intervals))).toBe(hash);
});
