import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FAILURES, OPEN_MS } from "../src/client/breaker";
import type { CachedSeries } from "../src/client/cache";
import { Reader, type ReaderOptions } from "../src/client/reader";
import { forming, kline } from "./builders";

const MINUTE = 60_000;

let requested: URL[];
let unavailable: boolean;
let maxKlines: number;
let streamed: CachedSeries | null;
/** The gateway's answers, one after the other, the last one again and again. */
let answers: (() => Promise<Response> | Response)[];

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  vi.spyOn(Math, "random").mockReturnValue(0);
  requested = [];
  unavailable = false;
  maxKlines = Number.POSITIVE_INFINITY;
  streamed = null;
  answers = [() => json({ klines: [kline(1), kline(2), forming(3)], stale: false })];
});
afterEach(() => {
  vi.useRealTimers();
});

const json = (body: unknown, status = 200): Response => new Response(JSON.stringify(body), { status });
const reader = (options: Partial<ReaderOptions> = {}): Reader =>
  new Reader(
    {
      url: "http://gateway/",
      fetch: async (url) => {
        requested.push(url as URL);
        const answer = answers.length > 1 ? answers.shift() : answers[0];
        return await (answer as () => Response)();
      },
      ...options,
    },
    { current: () => streamed, unavailable: () => unavailable, maxKlines: () => maxKlines },
  );
const down = (): Response => {
  throw new TypeError("fetch failed");
};
const settled = (): Promise<unknown> => vi.advanceTimersByTimeAsync(10);

test("the second time is answered at once, without a request, and no more than was asked for", async () => {
  const past = reader();
  expect(await past.klines("BTCUSDT", "1m", 500)).toMatchObject({ cached: false, stale: false, ageMs: 0 });
  await vi.advanceTimersByTimeAsync(MINUTE);
  const again = await past.klines("BTCUSDT", "1m", 2);
  expect(again).toMatchObject({ symbol: "BTCUSDT", interval: "1m", cached: true, stale: false, ageMs: MINUTE });
  expect(again.klines).toEqual([kline(2), forming(3)]);
  expect(requested.map(String)).toEqual(["http://gateway/v1/klines?symbol=BTCUSDT&interval=1m&limit=500"]);
  expect(past.stats).toMatchObject({ hits: 1, misses: 1, hitRate: 0.5, requests: 1, symbols: 1, series: 1 });
  expect(past.stats.cached.count).toBe(1);
  expect(past.stats.fetched.count).toBe(1);
});

test("several who ask for the same at once share one request", async () => {
  const past = reader();
  await Promise.all([1, 2, 3].map(() => past.klines("BTCUSDT", "1m", 500)));
  expect(requested.length).toBe(1);
  expect(past.stats).toMatchObject({ misses: 3, joined: 2 });
});

test("after a minute the old answer comes at once, marked, and is read anew behind it", async () => {
  const past = reader();
  await past.klines("BTCUSDT", "1m", 500);
  answers = [() => json({ klines: [kline(2), kline(3)], stale: false })];
  await vi.advanceTimersByTimeAsync(MINUTE + 1);
  expect(await past.klines("BTCUSDT", "1m", 500)).toMatchObject({ cached: true, stale: true, ageMs: MINUTE + 1 });
  await settled();
  const fresh = await past.klines("BTCUSDT", "1m", 500);
  expect(fresh).toMatchObject({ cached: true, stale: false });
  expect(fresh.klines).toEqual([kline(2), kline(3)]);
  expect(past.stats).toMatchObject({ staleHits: 1, hits: 1, requests: 2 });
});

test("while the gateway is unavailable, what is held is served and marked, whatever its age and depth", async () => {
  const past = reader();
  await past.klines("BTCUSDT", "1m", 500);
  unavailable = true;
  expect(await past.klines("BTCUSDT", "1m", 500)).toMatchObject({ cached: true, stale: true });
  unavailable = false;
  answers = [down];
  const waiting = past.klines("BTCUSDT", "1m", 1_000);
  await settled();
  expect(await waiting).toMatchObject({ cached: true, stale: true });
  expect(past.unavailable).toBe(true);
  await vi.advanceTimersByTimeAsync(MINUTE + 1);
  expect(await past.klines("BTCUSDT", "1m", 500)).toMatchObject({ stale: true });
  await settled();
  answers = [() => json({ klines: [], stale: true })];
  await vi.advanceTimersByTimeAsync(OPEN_MS);
  await past.klines("ETHUSDT", "1m", 500);
  expect(past.unavailable).toBe(false);
  // The gateway is back, its source is not.
  expect(await past.klines("ETHUSDT", "1m", 500)).toMatchObject({ cached: true, stale: true });
});

test("a failure is tried again, with nothing held it is told in the end, and then the gateway is left alone", async () => {
  answers = [() => json({ code: "UNAVAILABLE", error: "away" }, 503), down, () => json({ klines: [], stale: false })];
  const past = reader();
  const patient = past.klines("BTCUSDT", "1m", 500);
  await settled();
  expect(await patient).toMatchObject({ klines: [] });
  expect(requested.length).toBe(3);

  answers = [down];
  const hopeless = ["A1", "A2"].map((symbol) => past.klines(symbol, "1m", 500).catch(String));
  await settled();
  expect(await hopeless[0]).toBe("TypeError: fetch failed");
  expect(requested.length).toBe(3 + FAILURES);
  const before = requested.length;
  await expect(past.klines("A3", "1m", 500)).rejects.toMatchObject({ code: "CIRCUIT_OPEN", status: 503 });
  expect(requested.length).toBe(before);
});

test("a refusal is not tried again, is no outage, and is told even where something is held", async () => {
  const past = reader();
  await past.klines("BTCUSDT", "1m", 500);
  answers = [() => json({ code: "BAD_REQUEST", error: "limit" }, 400)];
  await expect(past.klines("BTCUSDT", "1m", 9_999)).rejects.toMatchObject({ code: "BAD_REQUEST" });
  expect(requested.length).toBe(2);
  expect(past.unavailable).toBe(false);
  answers = [() => json({ code: "RATE_LIMIT", error: "slower" }, 429)];
  await expect(past.klines("ETHUSDT", "1m", 500)).rejects.toMatchObject({ code: "RATE_LIMIT" });
  // What is asked too often is not wrong.
  expect(await past.klines("BTCUSDT", "1m", 9_999)).toMatchObject({ cached: true, stale: true });
  expect(requested.length).toBe(4);
});

test("what the stream holds is the newest there is, where it reaches far enough back", async () => {
  const past = reader();
  streamed = { klines: [forming(9)], requested: 0, at: 1_000_000, stale: false };
  expect((await past.klines("BTCUSDT", "1m", 500)).klines.length).toBe(3);
  expect((await past.klines("BTCUSDT", "1m", 500)).cached).toBe(true);
  streamed = { klines: [kline(8), forming(9)], requested: 500, at: 1_000_000, stale: false };
  expect((await past.klines("BTCUSDT", "1m", 500)).klines).toEqual([kline(8), forming(9)]);
  expect(past.isUseless("BTCUSDT", "1m")).toBe(true);
  expect(requested.length).toBe(1);
});

test("what was fetched in advance is counted when it is used, once", async () => {
  const past = reader();
  expect(past.isUseless("BTCUSDT", "1m")).toBe(false);
  await past.prefetch("BTCUSDT", "1m");
  await past.prefetch("ETHUSDT", "1m");
  expect(past.isUseless("BTCUSDT", "1m")).toBe(true);
  expect(past.isUseless("SOLUSDT", "1m")).toBe(false);
  await past.klines("BTCUSDT", "1m", 500);
  await past.klines("BTCUSDT", "1m", 500);
  expect(past.load("ETHUSDT", "1m", 300)).toMatchObject({ requested: 500 });
  expect(past.stats).toMatchObject({ prefetched: 2, prefetchUsed: 2, hits: 2, misses: 0 });
  unavailable = true;
  expect(past.isUseless("SOLUSDT", "1m")).toBe(true);
});

test("what no symbol is left room for is fetched in advance in vain, and breaks nothing", async () => {
  const past = reader({ maxSymbols: 0 });
  await past.prefetch("BTCUSDT", "1m");
  expect(past.stats).toMatchObject({ prefetched: 1, symbols: 0, evictions: 1 });
});

test("a stream continues from what is held only where that reaches far enough back", async () => {
  const past = reader({ maxSymbols: 2 });
  past.save("BTCUSDT", "1m", { klines: [kline(1)], requested: 100, at: 1, stale: false });
  past.save("ETHUSDT", "1m", { klines: [], requested: 100, at: 1, stale: false });
  expect(past.load("BTCUSDT", "1m", 101)).toBeNull();
  expect(past.load("BTCUSDT", "1m", 100)?.klines).toEqual([kline(1)]);
  expect(past.load("ETHUSDT", "1m", 100)).toBeNull();
  expect(past.load("SOLUSDT", "1m", 0)).toBeNull();
});

test("older klines are read before a time, newer ones after it, closed ones only", async () => {
  answers = [() => json({ klines: [kline(1), forming(2)], stale: false })];
  expect(await reader().older("BTCUSDT", "1m", 5, 10)).toEqual({ klines: [kline(1)], end: false });
  expect(String(requested[0])).toBe("http://gateway/v1/klines?symbol=BTCUSDT&interval=1m&limit=10&endTime=4");
  expect((await reader().newer("BTCUSDT", "1m", 5, 10)).klines).toEqual([kline(1)]);
  expect(String(requested[1])).toBe("http://gateway/v1/klines?symbol=BTCUSDT&interval=1m&limit=10&startTime=6");
});

test("the data ends where the gateway says that there is none, and not while its source is away", async () => {
  answers = [() => json({ klines: [], stale: false })];
  expect(await reader().older("BTCUSDT", "1m", 5, 10)).toEqual({ klines: [], end: true });
  answers = [() => json({ klines: [], stale: true })];
  expect(await reader().older("BTCUSDT", "1m", 5, 10)).toEqual({ klines: [], end: false });
});

test("no more is asked for than the gateway gives", async () => {
  maxKlines = 100;
  await reader().klines("BTCUSDT", "1m", 500);
  await reader().older("BTCUSDT", "1m", 5, 500);
  expect(requested.map((url) => url.searchParams.get("limit"))).toEqual(["100", "100"]);
});

test("without a fetch of its own it takes the environment's", async () => {
  vi.stubGlobal("fetch", async () => json({ klines: [kline(1)], stale: false }));
  const past = new Reader(
    { url: "http://gateway/" },
    { current: () => null, unavailable: () => false, maxKlines: () => 500 },
  );
  expect((await past.klines("BTCUSDT", "1m", 500)).klines).toEqual([kline(1)]);
  expect(past.stats.hitRate).toBe(0);
  vi.unstubAllGlobals();
});

test("the user's own attempt is sent, however often the gateway has just failed", async () => {
  answers = [down];
  const past = reader();
  const hopeless = ["A1", "A2"].map((symbol) => past.klines(symbol, "1m", 500).catch(String));
  await settled();
  await Promise.all(hopeless);
  const before = requested.length;
  await expect(past.older("BTCUSDT", "1m", 1, 10)).rejects.toMatchObject({ code: "CIRCUIT_OPEN" });
  answers = [() => json({ klines: [kline(1)], stale: false })];
  past.permit();
  const [older, newer] = await Promise.all([past.older("BTCUSDT", "1m", 1, 10), past.newer("BTCUSDT", "1m", 1, 10)]);
  expect([older.klines.length, newer.klines.length, requested.length]).toEqual([1, 1, before + 2]);
});
