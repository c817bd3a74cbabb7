import { expect, test } from "vitest";
import { complete, formatHash, formatTime, parseHash, parseTime } from "../src/page/route";

const NOON = Date.UTC(2026, 9, 31, 12);

test.each([
  ["#BTCUSDT/1m", "BTCUSDT", "1m"],
  ["#/btcusdt/1M", "BTCUSDT", "1M"],
  ["#BTCUSDT/1D", "BTCUSDT", "1d"],
  ["#BTCUSDT/4H", "BTCUSDT", "4h"],
  ["#BTCUSDT/W", "BTCUSDT", "1w"],
  ["#ETHUSDT", "ETHUSDT", ""],
  ["", "", ""],
  ["#BTC%2FUSDT/1m", "BTC/USDT", "1m"],
  ["#BTC-USDT-SWAP/1m", "BTC-USDT-SWAP", "1m"],
  ["#BINANCE:ETHUSDT/1h", "BINANCE:ETHUSDT", "1h"],
  ["#币安人生USDT/1m", "币安人生USDT", "1m"],
  ["#%E5%B8%81USDT/1m", "币USDT", "1m"],
])("%s asks for %s and %s", (hash, symbol, interval) => {
  expect(parseHash(hash)).toEqual({ symbol, interval, at: null });
});

test.each([
  ["#<script>/1m", "<SCRIPT>", "1m"],
  ["#BTCUSDT/1x", "BTCUSDT", "1x"],
  ["#%E5%B8/1m", "%E5%B8", "1m"],
  [`#${"A".repeat(99)}/${"1".repeat(99)}`, "A".repeat(50), "1".repeat(10)],
])("%s keeps what it names, so that nothing else is shown in its place", (hash, symbol, interval) => {
  const route = parseHash(hash);
  expect(route).toEqual({ symbol, interval, at: null });
  expect(complete(route, ["BTCUSDT"], ["1m"])).toEqual(route);
});

test.each([
  ["ETH-USDT", "ETHUSDT"],
  ["BINANCE:ETHUSDT", "ETHUSDT"],
  ["OKX:ETH-USDT", "ETHUSDT"],
  ["SOLUSDT", "SOL-USDT"],
  ["XRP_USDT", "XRP_USDT"],
  ["A-BC", "A-BC"],
  ["ABC", "ABC"],
])("%s means %s", (name, symbol) => {
  const symbols = ["BTCUSDT", "ETHUSDT", "SOL-USDT", "XRPUSDT", "XRP_USDT", "AB-C", "A-BC"];
  expect(complete({ symbol: name, interval: "1m", at: null }, symbols, ["1m"]).symbol).toBe(symbol);
});

test.each([
  ["#BTCUSDT/1m@2026-10-31T12:00", NOON],
  ["#BTCUSDT/1m@2026-10-31T12%3A00", NOON],
  ["#BTCUSDT/1m@2026-10-31", NOON - 12 * 3_600_000],
  ["#BTCUSDT/1m@2026-10-31T12:00:30", NOON + 30_000],
  ["#BTCUSDT/1m@1969-01-01", 0],
  ["#BTCUSDT/1m@2026-13-31", null],
  ["#BTCUSDT/1m@yesterday", null],
  ["#BTCUSDT/1m@%E5%B8", null],
])("%s is at %s", (hash, at) => {
  expect(parseHash(hash)).toEqual({ symbol: "BTCUSDT", interval: "1m", at });
});

test("a time is written to the minute, to the second where it has any", () => {
  expect(formatTime(NOON)).toBe("2026-10-31T12:00");
  expect(formatTime(NOON + 30_000)).toBe("2026-10-31T12:00:30");
  expect(parseTime(formatTime(NOON + 30_000))).toBe(NOON + 30_000);
  expect(formatHash({ symbol: "BTCUSDT", interval: "1s", at: NOON })).toBe("#BTCUSDT/1s@2026-10-31T12:00");
});

test.each(["BTCUSDT", "BTC/USDT", "币安人生USDT"])("a route to %s survives the address", (symbol) => {
  const route = { symbol, interval: "15m", at: NOON };
  expect(parseHash(formatHash(route))).toEqual(route);
});

test.each([
  [{ symbol: "", interval: "" }, ["AAVEUSDT", "BTCUSDT"], ["1s", "1m"], "#BTCUSDT/1m"],
  [{ symbol: "", interval: "" }, ["AAVEUSDT"], ["5m"], "#AAVEUSDT/5m"],
  [{ symbol: "XUSDT", interval: "5m" }, ["AAVEUSDT"], ["1m", "5m"], "#XUSDT/5m"],
  [{ symbol: "XUSDT", interval: "1h" }, ["AAVEUSDT"], ["1m", "5m"], "#XUSDT/1h"],
  [{ symbol: "", interval: "" }, [], [], "#/"],
])("what is left open is filled from what there is (%#)", (route, symbols, intervals, hash) => {
  expect(formatHash(complete({ ...route, at: null }, symbols, intervals))).toBe(hash);
});
