import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { datafeed } from "../../src/adapters";
import { fetchMarkets, type Kline, KlineDataService, type Klines, type SeriesStatus } from "../../src/client";
import { Project, snippets } from "../package/packed";
import { Cuttable, LiveSocket, World } from "./world";

const SECOND = 1_000;
const VITE = "node_modules/vite/bin/vite.js";
const PATIENCE = { timeout: 20_000, interval: 50 };

let world: World;
let symbols: readonly string[];
let service: KlineDataService;

beforeAll(async () => {
  world = await World.start();
  ({ symbols } = await fetchMarkets(world.url));
}, 60_000);
afterAll(() => world.end());

beforeEach(() => {
  service = new KlineDataService({ url: world.url, WebSocket: LiveSocket });
});
afterEach(() => service.close());

const closedTimes = (klines: readonly Kline[]): number[] => [
  ...new Set(klines.filter((kline) => kline.isClosed).map((kline) => kline.openTime)),
];
const everySecond = (times: readonly number[]): number[] =>
  Array.from({ length: times.length }, (_, index) => (times[0] ?? 0) + index * SECOND);

/** Follows the seconds of a market. */
function follow(): { klines: Kline[]; statuses: SeriesStatus[] } {
  const [klines, statuses]: [Kline[], SeriesStatus[]] = [[], []];
  service.subscribe(
    symbols[0] ?? "",
    "1s",
    (kline) => klines.push(kline),
    (status) => statuses.push(status),
    { history: 500 },
  );
  return { klines, statuses };
}

test("the past of all markets comes whole, and the second time without a request", async () => {
  const first = await service.fetchMultipleKlines(symbols, "1m");
  for (const found of first.values()) {
    const { klines, cached, stale } = found as Klines;
    expect(klines.length).toBeGreaterThanOrEqual(500);
    expect([cached, stale]).toEqual([false, false]);
    expect(new Set(klines.slice(1).map((kline, index) => kline.openTime - (klines[index]?.openTime ?? 0)))).toEqual(
      new Set([60 * SECOND]),
    );
  }
  const { requests } = service.stats;
  const again = await service.fetchMultipleKlines(symbols, "1m");
  expect([...again.values()].every((found) => (found as Klines).cached)).toBe(true);
  expect(service.stats.requests).toBe(requests);
});

test("what the stream adds is what the gateway stores, each closed kline once and in order", async () => {
  const { klines, statuses } = follow();
  await vi.waitFor(() => expect(closedTimes(klines).length).toBeGreaterThan(502), PATIENCE);
  expect(closedTimes(klines)).toEqual(everySecond(closedTimes(klines)));
  expect(statuses.at(-1)?.level).toBe("green");
  const { klines: past } = await service.fetchOlder(symbols[0] ?? "", "1s", Date.now());
  const stored = new Map(past.map((kline) => [kline.openTime, kline]));
  const closed = klines.filter((kline) => kline.isClosed && stored.get(kline.openTime)?.isClosed).slice(-100);
  expect(closed.length).toBe(100);
  expect(closed).toEqual(closed.map((kline) => stored.get(kline.openTime)));
});

test("the past is paged through to its beginning and back, each closed kline once", async () => {
  const symbol = symbols[0] ?? "";
  const back = [];
  let end = false;
  for (let before = Date.now(); !end; before = back[0]?.openTime ?? 0) {
    const page = await service.fetchOlder(symbol, "1m", before, 200);
    back.unshift(...page.klines);
    end = page.end;
  }
  expect(back.length).toBeGreaterThanOrEqual(500);
  const times = back.map(({ openTime }) => openTime);
  expect(times).toEqual(times.map((_, index) => (times[0] ?? 0) + index * 60_000));
  const forth = [...back.slice(0, 1)];
  while (forth.length < back.length) {
    const { klines } = await service.fetchNewer(symbol, "1m", forth.at(-1)?.openTime ?? 0, 200);
    forth.push(...klines);
  }
  expect(forth.slice(0, back.length)).toEqual(back);
});

test("a connection that was cut is taken up again without a hole", async () => {
  const { klines, statuses } = follow();
  await vi.waitFor(() => expect(statuses.at(-1)?.level).toBe("green"), PATIENCE);
  Cuttable.last?.terminate();
  await vi.waitFor(() => expect(statuses.some(({ why }) => why === "reconnecting")).toBe(true), PATIENCE);
  const before = closedTimes(klines).length;
  await vi.waitFor(() => expect(closedTimes(klines).length).toBeGreaterThan(before + 2), PATIENCE);
  expect(closedTimes(klines)).toEqual(everySecond(closedTimes(klines)));
});

test("while the gateway is away what is held is served and marked; after its restart all is whole", async () => {
  const { klines, statuses } = follow();
  await vi.waitFor(() => expect(statuses.at(-1)?.level).toBe("green"), PATIENCE);
  await service.fetchKlines(symbols[1] ?? "", "1m");
  await world.do("stop");
  await vi.waitFor(() => expect(statuses.at(-1)?.why).toBe("reconnecting"), PATIENCE);
  expect(await service.fetchKlines(symbols[1] ?? "", "1m")).toMatchObject({ cached: true, stale: true });
  expect(await service.fetchKlines(symbols[0] ?? "", "1s")).toMatchObject({ cached: true, stale: true });
  await world.do("start");
  service.check();
  await vi.waitFor(() => expect(statuses.at(-1)?.level).toBe("green"), PATIENCE);
  const before = closedTimes(klines).length;
  await vi.waitFor(() => expect(closedTimes(klines).length).toBeGreaterThan(before + 1), PATIENCE);
  expect(closedTimes(klines)).toEqual(everySecond(closedTimes(klines)));
}, 60_000);

test("a refusal has the gateway's code", async () => {
  await expect(service.fetchKlines("NOSUCHUSDT", "1m")).rejects.toMatchObject({ code: "INVALID_SYMBOL", status: 400 });
  await expect(service.fetchKlines(symbols[0] ?? "", "7m")).rejects.toMatchObject({ code: "INVALID_INTERVAL" });
  const statuses: SeriesStatus[] = [];
  service.subscribe(
    "NOSUCHUSDT",
    "1m",
    () => {},
    (status) => statuses.push(status),
  );
  await vi.waitFor(() => expect(statuses.at(-1)?.error?.code).toBe("INVALID_SYMBOL"), PATIENCE);
});

test("markets that are likely next are there before they are asked for", async () => {
  service.viewed("BTCUSDT", "5m", symbols);
  await vi.waitFor(() => expect(service.stats.prefetched).toBeGreaterThanOrEqual(3), PATIENCE);
  expect(await service.fetchKlines("ETHUSDT", "5m")).toMatchObject({ cached: true, stale: false });
});

test("Advanced Charts' datafeed finds, resolves, loads and follows a symbol of the gateway", async () => {
  const feed = datafeed(service, { url: world.url });
  const configuration = await new Promise<Record<string, unknown>>((resolve) =>
    feed.onReady((found) => resolve(found as Record<string, unknown>)),
  );
  expect(configuration["supported_resolutions"]).toEqual(["1S", "1", "5"]);
  const found = await new Promise<object[]>((resolve) => feed.searchSymbols("btc", "", "", resolve));
  expect(found[0]).toMatchObject({ symbol: "BTCUSDT" });
  const info = await new Promise<{ name: string; pricescale: number }>((resolve, reject) =>
    feed.resolveSymbol("BTCUSDT", (got) => resolve(got as { name: string; pricescale: number }), reject),
  );
  expect(info).toMatchObject({ name: "BTCUSDT", session: "24x7", timezone: "Etc/UTC" });
  await expect(new Promise((resolve, reject) => feed.resolveSymbol("NOSUCHUSDT", resolve, reject))).rejects.toBe(
    "unknown_symbol",
  );
  const to = Math.floor(Date.now() / SECOND) + 1;
  const period = { from: to - 300, to, countBack: 300, firstDataRequest: true };
  const loaded = await new Promise<{ time: number }[]>((resolve, reject) =>
    feed.getBars(info, "1S", period, resolve, reject),
  );
  const pushed: { time: number }[] = [];
  feed.subscribeBars(
    info,
    "1S",
    (kline) => pushed.push(kline),
    "one",
    () => {},
  );
  await vi.waitFor(() => expect(new Set(pushed.map((kline) => kline.time)).size).toBeGreaterThan(3), PATIENCE);
  const times = [...new Set([...loaded, ...pushed].map((kline) => kline.time))];
  expect(times).toEqual(everySecond(times));
  feed.unsubscribeBars("one");
});

test("the README's code for Node prints a price of the gateway", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const [snippet] = snippets(readme, "ts").filter(({ code }) => code.includes('from "ws"'));
  const project = new Project(["ws"]);
  try {
    // Node 20 knows no types.
    project.write("bot.ts", snippet?.code ?? "");
    project.node(VITE, "build", "--logLevel", "error", "--ssr", "bot.ts");
    expect(project.node("dist/bot.js", world.url)).toMatchObject({
      failed: false,
      output: expect.stringMatching(/^BTCUSDT \d/),
    });
  } finally {
    project.remove();
  }
});
