import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Kline } from "../src/client";
import { KlineDataService, type Klines, type SeriesStatus, type ServiceOptions } from "../src/client";
import { SETTLE_MS } from "../src/client/prefetch";
import { forming, kline, snapshot } from "./builders";
import { FakeSocket } from "./fake-socket";

let service: KlineDataService;
let requested: string[];
let klines: Kline[];
let statuses: SeriesStatus[];

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  vi.spyOn(Math, "random").mockReturnValue(0);
  FakeSocket.all = [];
  requested = [];
  klines = [];
  statuses = [];
  service = make();
});

afterEach(() => {
  service.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

function make(options: Partial<ServiceOptions> = {}): KlineDataService {
  const made = new KlineDataService({
    url: "https://gateway/prefix/",
    WebSocket: FakeSocket,
    fetch: async (url) => {
      const symbol = (url as URL).searchParams.get("symbol") ?? "";
      requested.push(symbol);
      const known = symbol.endsWith("USDT");
      const body = known
        ? { klines: [kline(1), kline(2), forming(3)], stale: false }
        : { code: "INVALID_SYMBOL", error: "no" };
      return new Response(JSON.stringify(body), { status: known ? 200 : 404 });
    },
    ...options,
  });
  made.stream.onConnection(() => {});
  return made;
}

const turn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
const onKline = (got: Kline): number => klines.push(got);
const onStatus = (status: SeriesStatus): number => statuses.push(status);
const times = (): number[] => klines.splice(0).map((got) => got.openTime / 60_000);
const sent = (): Record<string, unknown> => FakeSocket.last.take().at(-1) ?? {};

function serve(over = {}, channel = "kline:BTCUSDT:1m"): void {
  FakeSocket.last.say({ op: "subscribed", id: sent()["id"], channels: { [channel]: { n: 1 } } });
  FakeSocket.last.say(snapshot({ n: 1, channel, klines: [kline(1), kline(2)], forming: forming(3), ...over }));
}
const update = (item: unknown): void => FakeSocket.last.say({ op: "update", t: Date.now(), u: [[1, item]] });

test("updates come as often as a screen can show them, or as is asked for", () => {
  const limits = { max_subscriptions: 1024, max_message_bytes: 8192, history_max: 500, latency_ms: 1 };
  const asked = (options: Partial<ServiceOptions>): unknown[] => {
    service.close();
    service = make(options);
    FakeSocket.last.hello({ limits });
    return FakeSocket.last.take();
  };
  expect(asked({})).toEqual([{ op: "set", max_rate: 30 }]);
  expect(asked({ maxRate: null, latencyMs: 0 })).toEqual([{ op: "set", latency_ms: 0 }]);
});

test("klines come in order, none older than the last, and from one subscription for all who listen", async () => {
  const unsubscribe = service.subscribe("BTCUSDT", "1m", onKline, undefined, { history: 1 });
  FakeSocket.last.hello();
  await turn();
  expect(FakeSocket.last.url).toBe("wss://gateway/prefix/v1/stream");
  serve();
  expect(times()).toEqual([2, 3]);
  const others: Kline[] = [];
  const unsubscribeOther = service.subscribe("BTCUSDT", "1m", (got) => others.push(got));
  expect(others.map((got) => got.openTime / 60_000)).toEqual([3]);
  update(kline(3));
  update(forming(4));
  expect(times()).toEqual([3, 4]);
  // A correction of what was shown before: nothing is taken back.
  update(kline(2, { close: 99 }));
  expect(times()).toEqual([4]);
  unsubscribe();
  await turn();
  expect(FakeSocket.last.take()).toEqual([]);
  unsubscribeOther();
  await turn();
  expect(sent()).toMatchObject({ op: "unsubscribe" });
});

test("who can draw anew is told to; the rest follows as klines", async () => {
  const resets: number[][] = [];
  service.subscribe("BTCUSDT", "1m", onKline, undefined, {
    history: 300,
    onReset: (all) => resets.push(all.map((got) => got.openTime / 60_000)),
  });
  FakeSocket.last.hello();
  await turn();
  serve({ klines: [], forming: null });
  update(forming(3));
  update(kline(2));
  expect(resets).toEqual([[], [2, 3]]);
  expect(times()).toEqual([3]);
});

test("the past that is held shows at once, and the stream goes on from it without a hole", async () => {
  FakeSocket.last.hello();
  expect((await service.fetchKlines("BTCUSDT", "1m")).cached).toBe(false);
  const stop = service.subscribe("BTCUSDT", "1m", onKline, onStatus, { history: 500 });
  expect(times()).toEqual([1, 2, 3]);
  expect(statuses.at(-1)).toMatchObject({ level: "yellow", why: "reconnecting", dataAgeMs: 0 });
  await turn();
  const command = FakeSocket.last.sent.at(-1);
  expect(command).toMatchObject({ resume: { "kline:BTCUSDT:1m": 2 * 60_000 } });
  serve({ recovered: true, klines: [kline(3), kline(4)], forming: forming(5) });
  expect(times()).toEqual([3, 4, 5]);
  expect(statuses.at(-1)).toMatchObject({ level: "green", why: "live" });
  // What is streamed is the cache's newest, and stays when nobody listens any more.
  expect((await service.fetchKlines("BTCUSDT", "1m")).klines.at(-1)).toEqual(forming(5));
  stop();
  expect((await service.fetchKlines("BTCUSDT", "1m")).klines.at(-1)).toEqual(forming(5));
  expect(requested).toEqual(["BTCUSDT"]);
  service.subscribe("BTCUSDT", "1m", onKline, undefined, { history: 500 });
  expect(times()).toEqual([1, 2, 3, 4, 5]);
});

test("a series left before anything came is nothing to keep, and tickers are not kept", async () => {
  service.subscribe("BTCUSDT", "1m", onKline)();
  service.stream.ticker("BTCUSDT", () => {}).close();
  expect(service.stats.series).toBe(0);
});

test("status tells source, age and refusals, once each", async () => {
  const stop = service.subscribe("BTCUSDT", "1m", onKline, onStatus);
  expect(statuses).toEqual([{ level: "yellow", why: "loading", dataAgeMs: null }]);
  FakeSocket.last.hello();
  await turn();
  serve();
  FakeSocket.last.say({ op: "status", channels: { 1: "stale" }, reason: "redis", since: 1 });
  expect(statuses.at(-1)).toMatchObject({ level: "yellow", why: "stale", reason: "redis", dataAgeMs: 0 });
  FakeSocket.last.say({ op: "status", channels: { 1: "live" } });
  const before = statuses.length;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(statuses.length).toBe(before);
  await vi.advanceTimersByTimeAsync(6_000);
  expect(statuses.at(-1)).toMatchObject({ level: "yellow", why: "late", dataAgeMs: 11_000 });
  stop();

  const others: SeriesStatus[] = [];
  service.subscribe("NOSUCH", "1m", onKline, onStatus);
  service.subscribe("NOSUCH", "1m", onKline, (status) => others.push(status))();
  expect(others).toHaveLength(1);
  await turn();
  const error = { code: "INVALID_SYMBOL", message: "no" };
  FakeSocket.last.say({ op: "subscribed", id: sent()["id"], channels: { "kline:NOSUCH:1m": { error } } });
  expect(statuses.at(-1)).toEqual({ level: "red", why: "failed", dataAgeMs: null, error });
});

test("offline, what is held is served and marked; after a long sleep the series is whole again", async () => {
  FakeSocket.last.hello();
  service.subscribe("BTCUSDT", "1m", onKline, onStatus, { history: 500 });
  await turn();
  serve();
  times();
  FakeSocket.last.end();
  expect(await service.fetchKlines("BTCUSDT", "1m")).toMatchObject({ cached: true, stale: true });
  vi.setSystemTime(Date.now() + 10 * 60_000);
  service.check();
  FakeSocket.last.hello();
  const missed = Array.from({ length: 10 }, (_, index) => kline(3 + index));
  serve({ recovered: true, klines: missed, forming: forming(13) });
  expect(times()).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  expect(await service.fetchKlines("BTCUSDT", "1m")).toMatchObject({ cached: true, stale: false });
});

test("of several at once, one that fails does not disturb the others", async () => {
  const found = await service.fetchMultipleKlines(["BTCUSDT", "NOSUCH", "ETHUSDT"], "1m");
  expect([...found.keys()]).toEqual(["BTCUSDT", "NOSUCH", "ETHUSDT"]);
  expect((found.get("ETHUSDT") as Klines).klines).toHaveLength(3);
  expect(found.get("NOSUCH")).toMatchObject({ code: "INVALID_SYMBOL" });
});

test("older klines are read past the cache", async () => {
  expect((await service.fetchOlder("BTCUSDT", "1m", 1)).end).toBe(false);
  expect((await service.fetchNewer("BTCUSDT", "1m", 1)).end).toBe(false);
  expect(service.stats).toMatchObject({ requests: 2, series: 0 });
  expect(service.pageSize).toBe(500);
  FakeSocket.last.hello({ limits: { max_subscriptions: 1, max_message_bytes: 1, history_max: 300 } });
  expect(service.pageSize).toBe(300);
});

test("what is likely next is fetched in the background, unless that is switched off", async () => {
  const known = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"];
  service.viewed("BTCUSDT", "1m", known);
  await vi.advanceTimersByTimeAsync(SETTLE_MS);
  expect(requested).toEqual(["ETHUSDT", "SOLUSDT", "XRPUSDT"]);
  expect((await service.fetchKlines("ETHUSDT", "1m")).cached).toBe(true);
  expect(service.prefetching).toBe(true);
  service.prefetching = false;
  service.hint("BTCUSDT", "5m");
  await vi.advanceTimersByTimeAsync(SETTLE_MS);
  expect(requested.length).toBe(3);
  service.viewed("ETHUSDT", "1m", known);
  expect(service.learned).toEqual({ BTCUSDT: { ETHUSDT: 1 } });
  service.close();
  service = make({ prefetch: false, learned: service.learned, correlations: {}, url: "http://gateway/" });
  expect(FakeSocket.last.url).toBe("ws://gateway/v1/stream");
  expect(service.prefetching).toBe(false);
});

test("nothing is fetched in advance while the source is away", async () => {
  FakeSocket.last.hello();
  service.subscribe("BTCUSDT", "1m", onKline);
  await turn();
  serve({ state: "stale" });
  service.hint("ETHUSDT", "1m");
  await vi.advanceTimersByTimeAsync(SETTLE_MS);
  expect(requested).toEqual([]);
});

test("without a socket of its own it takes the environment's", () => {
  service.close();
  vi.stubGlobal("WebSocket", FakeSocket);
  service = new KlineDataService({ url: "http://gateway/" });
  expect(FakeSocket.all.length).toBe(1);
  service.subscribe("BTCUSDT", "1m", onKline);
  expect(FakeSocket.all.length).toBe(2);
  vi.unstubAllGlobals();
});

test("on a server it can be made, and reads history, without a socket and without a page", async () => {
  service.close();
  vi.stubGlobal("WebSocket", undefined);
  service = new KlineDataService({ url: "/" });
  const fetch = async () => new Response('{"klines":[],"stale":false}');
  const reader = new KlineDataService({ url: "http://gateway", fetch });
  expect(await reader.fetchKlines("BTCUSDT", "1m")).toMatchObject({ klines: [], stale: false });
  reader.close();
  vi.unstubAllGlobals();
  expect(FakeSocket.all.length).toBe(1);
});

test("what is cached is not out of date because nothing needs a connection", async () => {
  service.close();
  const fetch = async () => new Response(JSON.stringify({ klines: [kline(1)], stale: false }));
  service = new KlineDataService({ url: "http://gateway/", WebSocket: FakeSocket, fetch });
  const stop = service.subscribe("BTCUSDT", "1m", onKline);
  FakeSocket.last.hello();
  await service.fetchKlines("ETHUSDT", "1m");
  stop();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(service.stream.info.phase).toBe("idle");
  expect(await service.fetchKlines("ETHUSDT", "1m")).toMatchObject({ cached: true, stale: false });
});

test("a token goes along with requests and with each connection, as it is then", async () => {
  service.close();
  let token: string | null = "first";
  const fetch = vi.fn(async () => new Response('{"klines":[],"stale":false}'));
  service = make({ token: () => token, fetch });
  expect(FakeSocket.last.protocols).toEqual(["kline.v1.json", "kline.token.first"]);
  await service.fetchKlines("BTCUSDT", "1m");
  expect(fetch.mock.calls[0]).toMatchObject([{}, { headers: { authorization: "Bearer first" } }]);
  token = null;
  FakeSocket.last.hello();
  const before = FakeSocket.last;
  service.stream.reconnect();
  expect(before.closed).toBe(true);
  expect(FakeSocket.last.protocols).toEqual(["kline.v1.json"]);
});

test("what was looked at is kept in order, each once, and not for ever", () => {
  for (const [symbol, interval] of [
    ["BTCUSDT", "1m"],
    ["BTCUSDT", "1m"],
    ["BTCUSDT", "5m"],
  ] as const) {
    service.viewed(symbol, interval, []);
  }
  expect(service.visits).toEqual([
    { at: 1_000_000, symbol: "BTCUSDT", interval: "1m" },
    { at: 1_000_000, symbol: "BTCUSDT", interval: "5m" },
  ]);
  for (let count = 0; count < 1_000; count += 1) service.viewed(`S${count}USDT`, "1m", []);
  expect(service.visits).toHaveLength(1_000);
  expect(service.visits[0]?.symbol).toBe("S0USDT");
});

test("what was fetched before there was a service is held as if it had requested", async () => {
  service.preload({ symbol: "BTCUSDT", interval: "1m", klines: [kline(1), kline(2)], stale: false });
  expect(await service.fetchKlines("BTCUSDT", "1m")).toMatchObject({ cached: true, stale: false, klines: [{}, {}] });
  expect(requested).toEqual([]);
});

test("without a stream a series is polled: whole at first, then what is missing, and the stream goes on from it", async () => {
  const asked: URL[] = [];
  let stored = [kline(14), kline(15), forming(16)];
  let stale = false;
  service.close();
  service = make({
    fetch: async (url) => {
      asked.push(url as URL);
      const limit = Number((url as URL).searchParams.get("limit"));
      return Response.json({ symbol: "BTCUSDT", interval: "1m", klines: stored.slice(-limit), stale });
    },
  });
  const resets: number[][] = [];
  service.subscribe("BTCUSDT", "1m", onKline, onStatus, {
    history: 500,
    onReset: (all) => resets.push(all.map(({ openTime }) => openTime / 60_000)),
  });
  service.viewed("BTCUSDT", "1m", ["BTCUSDT", "ETHUSDT"]);
  expect(service.stream.awaits("BTCUSDT", "1m")).toBe(true);
  await vi.advanceTimersByTimeAsync(4 * SETTLE_MS);
  expect(asked).toEqual([]);
  await service.poll("BTCUSDT", "1m", 500);
  expect(asked[0]?.searchParams.get("limit")).toBe("500");
  expect(resets).toEqual([[14, 15, 16]]);
  expect(service.stream.awaits("BTCUSDT", "1m")).toBe(false);

  vi.setSystemTime(17.5 * 60_000);
  stored = [...stored.slice(0, 2), kline(16), forming(17, { close: 12 })];
  await service.poll("BTCUSDT", "1m", 500);
  expect(asked.at(-1)?.searchParams.get("limit")).toBe("4");
  expect(times()).toEqual([16, 17]);
  expect(resets).toHaveLength(1);
  // Old klines do not make it look fresh.
  const { lastMessageAt } = service.stream.klines("BTCUSDT", "1m", 0, () => {});
  stale = true;
  vi.setSystemTime(17.9 * 60_000);
  await service.poll("BTCUSDT", "1m", 500);
  expect(service.stream.klines("BTCUSDT", "1m", 0, () => {}).lastMessageAt).toBe(lastMessageAt);

  FakeSocket.last.hello();
  const command = sent();
  expect(command["resume"]).toEqual({ "kline:BTCUSDT:1m": 16 * 60_000 });
  FakeSocket.last.say({ op: "subscribed", id: command["id"], channels: { "kline:BTCUSDT:1m": { n: 1 } } });
  FakeSocket.last.say(snapshot({ n: 1, klines: [kline(17)], forming: forming(18), recovered: true }));
  times();
  await service.poll("BTCUSDT", "1m", 500);
  await service.poll("ETHUSDT", "1m", 500);
  expect([times(), resets.length]).toEqual([[], 1]);
});

test("a wake-up, or somebody who presses retry, asks again for what the gateway did not serve", async () => {
  FakeSocket.last.hello();
  service.subscribe("BTCUSDT", "1m", onKline, onStatus);
  await turn();
  const error = { code: "INVALID_SYMBOL", message: "nobody has data" };
  FakeSocket.last.say({ op: "subscribed", id: sent()["id"], channels: { "kline:BTCUSDT:1m": { error } } });
  expect(statuses.at(-1)).toMatchObject({ error });
  service.check();
  await turn();
  serve();
  expect(times()).toEqual([1, 2, 3].slice(-1));
  FakeSocket.last.say({ op: "heartbeat", t: 1 });
  await vi.advanceTimersByTimeAsync(3_000);
});

test("a market that has nothing but its first candle is polled too, and one that has nothing is no trouble", async () => {
  let stored: Kline[] = [];
  service.close();
  service = make({
    fetch: async () => Response.json({ symbol: "NEWUSDT", interval: "1m", klines: stored, stale: false }),
  });
  service.subscribe("NEWUSDT", "1m", onKline, onStatus, { history: 500 });
  await service.poll("NEWUSDT", "1m", 500);
  expect(times()).toEqual([]);
  stored = [forming(16)];
  await service.poll("NEWUSDT", "1m", 500);
  expect(times()).toEqual([16]);
});
