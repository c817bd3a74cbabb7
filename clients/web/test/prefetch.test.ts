import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Predictor } from "../src/client";
import { Prefetcher, SETTLE_MS } from "../src/client/prefetch";

const KNOWN = ["ADAUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"];

let fetched: string[];
let held: Set<string>;
let busy: boolean;
let answer: () => Promise<void>;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  fetched = [];
  held = new Set();
  busy = false;
  answer = () => Promise.resolve();
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const prefetcher = (options = {}): Prefetcher =>
  new Prefetcher(
    new Predictor(),
    {
      isBusy: () => busy,
      isUseless: (symbol) => held.has(symbol),
      fetch: (symbol, interval) => {
        fetched.push(`${symbol}/${interval}`);
        return answer();
      },
    },
    options,
  );
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(SETTLE_MS);

test("after a pause the likely markets are fetched one at a time, but none that is held", async () => {
  let done = (): void => {};
  answer = () => new Promise((resolve) => (done = resolve));
  held.add("SOLUSDT");
  prefetcher({ maxMarkets: 3 }).viewed("BTCUSDT", "1m", KNOWN);
  await vi.advanceTimersByTimeAsync(SETTLE_MS - 1);
  expect(fetched).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(fetched).toEqual(["ETHUSDT/1m"]);
  done();
  await settle();
  expect(fetched).toEqual(["ETHUSDT/1m", "XRPUSDT/1m"]);
  done();
  await settle();
  expect(fetched.length).toBe(2);
});

test("somebody who goes on before the pause is over has only the last market's neighbours fetched", async () => {
  const ahead = prefetcher({ maxMarkets: 1 });
  ahead.viewed("BTCUSDT", "1m", KNOWN);
  ahead.viewed("XRPUSDT", "5m", KNOWN);
  await settle();
  expect(fetched).toEqual(["BTCUSDT/5m"]);
});

test("a hint goes first, and joins a round that is running", async () => {
  let done = (): void => {};
  answer = () => new Promise((resolve) => (done = resolve));
  const ahead = prefetcher({ maxMarkets: 2 });
  ahead.viewed("BTCUSDT", "1m", KNOWN);
  await settle();
  ahead.hint("ADAUSDT", "1m");
  await settle();
  expect(fetched).toEqual(["ETHUSDT/1m"]);
  done();
  await settle();
  expect(fetched).toEqual(["ETHUSDT/1m", "ADAUSDT/1m"]);
  done();
  await settle();
});

test("no more than so many requests a minute", async () => {
  const ahead = prefetcher({ perMinute: 3 });
  for (const symbol of ["BTCUSDT", "XRPUSDT"]) {
    ahead.viewed(symbol, "1m", KNOWN);
    await settle();
  }
  expect(fetched.length).toBe(3);
  await vi.advanceTimersByTimeAsync(60_000);
  ahead.hint("ADAUSDT", "1m");
  await settle();
  expect(fetched.length).toBe(4);
});

test("switched off, or closed, it fetches nothing", async () => {
  const ahead = prefetcher();
  ahead.enabled = false;
  ahead.viewed("BTCUSDT", "1m", KNOWN);
  await settle();
  expect(fetched).toEqual([]);
  ahead.enabled = true;
  ahead.viewed("BTCUSDT", "1m", KNOWN);
  ahead.close();
  await settle();
  expect(fetched).toEqual([]);
});

test("a failure ends the round: the gateway has other worries", async () => {
  answer = () => Promise.reject(new Error("away"));
  prefetcher().viewed("BTCUSDT", "1m", KNOWN);
  await settle();
  expect(fetched.length).toBe(1);
});

test("what the user waits for goes first, however long that takes", async () => {
  busy = true;
  prefetcher({ maxMarkets: 1 }).viewed("BTCUSDT", "1m", KNOWN);
  await vi.advanceTimersByTimeAsync(40 * SETTLE_MS);
  expect(fetched).toEqual([]);
  busy = false;
  await settle();
  expect(fetched).toEqual(["ETHUSDT/1m"]);
});
