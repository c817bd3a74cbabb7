import { expect, test } from "vitest";
import { type CachedSeries, SeriesCache } from "../src/client/cache";
import { kline } from "./builders";

const held = (at: number): CachedSeries => ({ klines: [kline(at)], requested: 500, at, stale: false });

test("the symbol that was not used for longest goes first, with all of its intervals", () => {
  const cache = new SeriesCache(2);
  cache.put("BTCUSDT", "1m", held(1));
  cache.put("BTCUSDT", "1h", held(2));
  cache.put("ETHUSDT", "1m", held(3));
  expect(cache.get("BTCUSDT", "1m")).toEqual(held(1));
  cache.put("SOLUSDT", "1m", held(4));
  expect(cache.get("ETHUSDT", "1m")).toBeNull();
  expect(cache.get("BTCUSDT", "1h")).toEqual(held(2));
  expect([cache.symbols, cache.series, cache.evictions]).toEqual([2, 3, 1]);
});

test("looking without use keeps nothing alive, and writing is use", () => {
  const cache = new SeriesCache(2);
  cache.put("BTCUSDT", "1m", held(1));
  cache.put("ETHUSDT", "1m", held(2));
  expect(cache.peek("BTCUSDT", "1m")).toEqual(held(1));
  expect(cache.peek("XRPUSDT", "1m")).toBeNull();
  cache.put("SOLUSDT", "1m", held(3));
  expect(cache.peek("BTCUSDT", "1m")).toBeNull();
  cache.put("ETHUSDT", "1m", held(4));
  cache.put("ADAUSDT", "1m", held(5));
  expect(cache.peek("ETHUSDT", "1m")).toEqual(held(4));
  expect(cache.get("ETHUSDT", "1d")).toBeNull();
});
