import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { KlineDataService } from "../src/client";
import { errorOf, MarketStore } from "../src/store";
import { FRAME_MS, HIDDEN_MS } from "../src/store/frames";
import { forming, kline, snapshot, tickerSnapshot } from "./builders";
import { FakeSocket } from "./fake-socket";

let service: KlineDataService;
let store: MarketStore;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  vi.spyOn(Math, "random").mockReturnValue(0);
  FakeSocket.all = [];
  service = new KlineDataService({ url: "http://gateway/", WebSocket: FakeSocket });
  store = new MarketStore(service);
});

afterEach(() => {
  service.close();
  // Who still subscribes is told in a last frame.
  vi.advanceTimersByTime(HIDDEN_MS);
  expect(vi.getTimerCount()).toBe(0);
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** Greets, and gives the channels the numbers 1, 2, … in the order in which they were subscribed to. */
async function serve(...channels: string[]): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
  if (service.stream.info.phase === "connecting") FakeSocket.last.hello();
  for (const { id } of FakeSocket.last.take().filter(({ op }) => op === "subscribe")) {
    const numbers = Object.fromEntries(channels.map((channel, index) => [channel, { n: index + 1 }]));
    FakeSocket.last.say({ op: "subscribed", id, channels: numbers });
  }
}

const say = (n: number, update: unknown): void =>
  FakeSocket.last.say({ op: "update", t: Date.now(), u: [[n, update]] });

test("changes are told in the next frame, together, and only to those whose value has changed", async () => {
  const seen: unknown[] = [];
  const [btc, eth] = [store.ticker("BTCUSDT"), store.ticker("ETHUSDT")];
  btc.subscribe(() => seen.push(["btc", btc.get().ticker?.c, eth.get().ticker?.c]));
  eth.subscribe(() => seen.push(["eth", btc.get().ticker?.c, eth.get().ticker?.c]));
  await serve("ticker:BTCUSDT", "ticker:ETHUSDT");
  FakeSocket.last.say(tickerSnapshot({ n: 1, ticker: { c: 1 } }));
  FakeSocket.last.say(tickerSnapshot({ n: 2, ticker: { c: 2 } }));
  expect(seen).toEqual([]);
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(seen.splice(0)).toEqual([
    ["btc", 1, 2],
    ["eth", 1, 2],
  ]);
  say(2, { c: 3 });
  say(2, { c: 4 });
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(seen.splice(0)).toEqual([["eth", 1, 4]]);
  expect(store.ticker("ETHUSDT")).toBe(eth);
});

test("a frame is the screen's, and in a hidden page, which has none, a second", async () => {
  const asked: (() => void)[] = [];
  const cancelled: number[] = [];
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => asked.push(run));
  vi.stubGlobal("cancelAnimationFrame", (frame: number) => cancelled.push(frame));
  let changes = 0;
  const ticker = store.ticker("BTCUSDT");
  const stop = ticker.subscribe(() => {
    changes += 1;
  });
  await serve("ticker:BTCUSDT");
  await vi.advanceTimersByTimeAsync(HIDDEN_MS);
  asked.length = cancelled.length = changes = 0;
  FakeSocket.last.say(tickerSnapshot({ n: 1, ticker: { c: 1 } }));
  say(1, { c: 2 });
  expect([asked.length, changes]).toEqual([1, 0]);
  asked[0]?.();
  expect([changes, ticker.get().ticker?.c]).toEqual([1, 2]);
  say(1, { c: 3 });
  await vi.advanceTimersByTimeAsync(HIDDEN_MS - 1);
  expect(changes).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(changes).toBe(2);
  // Who leaves before the frame is told nothing.
  say(1, { c: 4 });
  stop();
  stop();
  expect(changes).toBe(2);
  expect(cancelled).toEqual([1, 2, 3]);
});

test("one who leaves does not keep the others from their frame, nor one who leaves during it", async () => {
  const told: string[] = [];
  const [btc, eth] = [store.ticker("BTCUSDT"), store.ticker("ETHUSDT")];
  btc.subscribe(() => {
    told.push("btc");
    stop();
  });
  const stop = eth.subscribe(() => told.push("eth"));
  await serve("ticker:BTCUSDT", "ticker:ETHUSDT");
  FakeSocket.last.say(tickerSnapshot({ n: 1, ticker: { c: 1 } }));
  FakeSocket.last.say(tickerSnapshot({ n: 2, ticker: { c: 2 } }));
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(told).toEqual(["btc"]);
  const leave = eth.subscribe(() => told.push("eth"));
  say(1, { c: 5 });
  leave();
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(told).toEqual(["btc", "btc"]);
});

test("a subscriber reads at once what others have, and what is cached before it subscribes", async () => {
  const all = store.klines("BTCUSDT", "1m");
  expect(all.get()).toEqual({
    closed: [],
    forming: null,
    loading: true,
    status: { level: "yellow", why: "loading" },
    error: null,
  });
  expect(all.get()).toBe(all.get());
  const stop = all.subscribe(() => {});
  await serve("kline:BTCUSDT:1m");
  FakeSocket.last.say(snapshot({ n: 1, klines: [kline(1), kline(2)], forming: forming(3) }));
  const two = store.klines("BTCUSDT", "1m", 1);
  expect(two.get()).toMatchObject({ closed: [kline(2)], forming: forming(3), loading: false });
  expect(two.get()).toBe(two.get());
  const stopTwo = two.subscribe(() => {});
  expect(two.get()).toMatchObject({ closed: [kline(2)], status: { level: "green" } });
  stop();
  stopTwo();
  expect(two.get()).toMatchObject({ closed: [kline(2)], forming: forming(3), status: { level: "yellow" } });
  expect(two.get()).toBe(two.get());
  expect(store.klines("BTCUSDT", "1m")).toBe(all);
});

test("what a server has rendered is the initial value, and cached", () => {
  const answer = { symbol: "BTCUSDT", interval: "1m", klines: [kline(1), forming(2)], stale: false };
  const taken = new MarketStore(service, { initial: [answer] });
  const klines = taken.klines("BTCUSDT", "1m");
  expect(klines.initial()).toMatchObject({ closed: [kline(1)], forming: forming(2), loading: false });
  expect(klines.initial()).toBe(klines.initial());
  expect(klines.get()).toEqual(klines.initial());
  expect(taken.klines("ETHUSDT", "1m").initial()).toMatchObject({ closed: [], loading: true });
  expect(taken.ticker("BTCUSDT").initial().ticker).toBeNull();
  expect(taken.ticker("BTCUSDT").get()).toBe(taken.ticker("BTCUSDT").initial());
  expect(taken.tickers(["BTCUSDT"]).initial().size).toBe(0);
  expect(taken.age.initial()).toBeNull();
  expect(taken.connection.initial().phase).toBe("idle");
});

test("who cannot subscribe does not, and may try again", () => {
  vi.stubGlobal("WebSocket", undefined);
  const alone = new MarketStore(new KlineDataService({ url: "http://gateway" })).ticker("BTCUSDT");
  for (const _ of [1, 2]) expect(() => alone.subscribe(() => {})).toThrow("no WebSocket");
});

test("the changes of the connection are kept, the newest first and not for ever, also while nobody reads them", async () => {
  service.stream.onConnection(() => {});
  for (let count = 0; count < 40; count += 1) {
    FakeSocket.last.hello();
    FakeSocket.last.end();
    await vi.advanceTimersByTimeAsync(1);
  }
  const { history, phase } = store.connection.get();
  expect(phase).toBe("connecting");
  expect(history).toHaveLength(50);
  expect(history[1]).toEqual({ number: 80, at: expect.any(Number), level: "green", why: "live" });
  service.close();
  expect(store.connection.get()).toMatchObject({ phase: "closed", why: "idle" });
});

test("level, reason and age of the connection change while they are read, and nothing ticks when they are not", async () => {
  const levels: string[] = [];
  const ages: (number | null)[] = [];
  const stops = [
    store.connection.subscribe(() => levels.push(`${store.connection.get().level} ${store.connection.get().why}`)),
    store.age.subscribe(() => ages.push(store.age.get())),
  ];
  expect([store.connection.get().why, store.age.get()]).toEqual(["idle", null]);
  const ticker = store.ticker("BTCUSDT").subscribe(() => {});
  await serve("ticker:BTCUSDT");
  FakeSocket.last.say(tickerSnapshot({ n: 1 }));
  await vi.advanceTimersByTimeAsync(3_500);
  expect(levels).toEqual(["green live"]);
  expect(ages).toEqual([1, 2, 3]);
  FakeSocket.last.say({ op: "status", channels: { 1: "stale" }, reason: "redis", since: Date.now() });
  FakeSocket.last.say({ op: "throttle", interval_ms: 200, reason: "load" });
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(levels).toEqual(["green live", "yellow stale"]);
  expect(store.connection.get()).toMatchObject({ phase: "open", throttled: "load", intervalMs: 200 });
  const seen = store.connection.get();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(store.connection.get()).toBe(seen);
  for (const stop of [...stops, ticker]) stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([levels.length, store.connection.get().why, store.age.get()]).toEqual([2, "idle", null]);
});

test("connection and age end with their last subscriber, and a second store listens no second time", async () => {
  const listening = vi.spyOn(service.stream, "onConnection");
  const stops = [store.connection, store.connection, store.age, store.age].map((value) => value.subscribe(() => {}));
  // One clock each, and one listener, however many subscribe.
  expect([vi.getTimerCount(), listening.mock.calls.length]).toEqual([2, 1]);
  for (const stop of stops.slice(1, 3)) stop();
  expect(vi.getTimerCount()).toBe(2);
  for (const stop of stops) stop();
  expect(vi.getTimerCount()).toBe(0);
  const looking = service.stream.onConnection(() => {});
  expect(vi.getTimerCount()).toBe(1); // the handshake's: nothing is told of the change
  looking();
  listening.mockClear();
  const other = new MarketStore(service);
  expect(listening).not.toHaveBeenCalled();
  expect(other.connection.get()).toBe(store.connection.get());
  await vi.advanceTimersByTimeAsync(60_000);
});

test("a source that is away is no fresh data, though the gateway's heartbeats come; it is red after half a minute", async () => {
  const ticker = store.ticker("BTCUSDT").subscribe(() => {});
  const stops = [store.connection.subscribe(() => {}), store.age.subscribe(() => {}), ticker];
  await serve("ticker:BTCUSDT");
  FakeSocket.last.say(tickerSnapshot({ n: 1 }));
  await vi.advanceTimersByTimeAsync(2_000);
  FakeSocket.last.say({ op: "status", channels: { 1: "stale" }, reason: "redis", since: Date.now() });
  for (let second = 0; second < 40; second += 1) {
    FakeSocket.last.say({ op: "heartbeat", t: Date.now() });
    await vi.advanceTimersByTimeAsync(1_000);
  }
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect([store.age.get(), store.connection.get().level, store.connection.get().why]).toEqual([42, "red", "stale"]);
  // A snapshot says what there is, and since when it is old.
  FakeSocket.last.say(tickerSnapshot({ n: 1, state: "stale", reason: "redis", since: Date.now() - 40_000 }));
  await vi.advanceTimersByTimeAsync(1_000 + FRAME_MS);
  expect([store.age.get(), store.connection.get().level]).toEqual([41, "red"]);
  FakeSocket.last.say({ op: "status", channels: { 1: "live" } });
  await vi.advanceTimersByTimeAsync(1_000 + FRAME_MS);
  expect([store.connection.get().level, store.connection.get().history.map(({ level }) => level)]).toEqual([
    "green",
    ["green", "red", "yellow", "green", "yellow"],
  ]);
  for (const stop of stops) stop();
  await vi.advanceTimersByTimeAsync(60_000);
});

test("one market that is stale among others makes the page's data delayed, and no older than the others'", async () => {
  const stops = ["BTCUSDT", "ETHUSDT"].map((symbol) => store.ticker(symbol).subscribe(() => {}));
  stops.push(
    store.connection.subscribe(() => {}),
    store.age.subscribe(() => {}),
  );
  await serve("ticker:BTCUSDT", "ticker:ETHUSDT");
  FakeSocket.last.say(tickerSnapshot({ n: 1, state: "stale", reason: "symbol", since: Date.now() - 3_600_000 }));
  FakeSocket.last.say(tickerSnapshot({ n: 2 }));
  await vi.advanceTimersByTimeAsync(1_000 + FRAME_MS);
  expect([store.age.get(), store.connection.get().level, store.connection.get().why]).toEqual([1, "yellow", "stale"]);
  for (const stop of stops) stop();
  await vi.advanceTimersByTimeAsync(60_000);
});

test("one subscriber that fails keeps none of the others from its frame, and one that was ended is told nothing", async () => {
  const told: string[] = [];
  const [btc, eth] = [store.ticker("BTCUSDT"), store.ticker("ETHUSDT")];
  const stops = [
    btc.subscribe(() => {
      stops[1]?.();
      throw new Error("a component's");
    }),
    btc.subscribe(() => told.push("ended")),
    btc.subscribe(() => told.push("btc")),
    eth.subscribe(() => told.push("eth")),
  ];
  await serve("ticker:BTCUSDT", "ticker:ETHUSDT");
  FakeSocket.last.say(tickerSnapshot({ n: 1 }));
  FakeSocket.last.say(tickerSnapshot({ n: 2 }));
  expect(() => vi.advanceTimersByTime(FRAME_MS)).toThrow("a component's");
  expect(told).toEqual(["btc", "eth"]);
  for (const stop of stops) stop();
  await vi.advanceTimersByTimeAsync(60_000);
});

test("several tickers are subscribed to once each, also where one is named twice", async () => {
  const all = store.tickers(["BTCUSDT", "ETHUSDT", "BTCUSDT"]);
  const stop = all.subscribe(() => {});
  await serve("ticker:BTCUSDT", "ticker:ETHUSDT");
  expect([...all.get().keys()]).toEqual(["BTCUSDT", "ETHUSDT"]);
  stop();
  await vi.advanceTimersByTimeAsync(0);
  const left = FakeSocket.last.take().filter(({ op }) => op === "unsubscribe");
  expect(left.flatMap(({ channels }) => channels)).toEqual(["ticker:BTCUSDT", "ticker:ETHUSDT"]);
});

test("a market is loading until the gateway has said what it has, also while it is out of reach", async () => {
  vi.mocked(Math.random).mockReturnValue(0.9);
  const klines = store.klines("BTCUSDT", "1m");
  const stop = klines.subscribe(() => {});
  FakeSocket.last.end();
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(klines.get()).toMatchObject({ loading: true, status: { level: "red", why: "offline" }, error: null });
  store.retry();
  await serve("kline:BTCUSDT:1m");
  FakeSocket.last.say(snapshot({ n: 1 }));
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(klines.get()).toMatchObject({ closed: [], forming: null, loading: false, status: { level: "green" } });
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
});

test("who shows an error is told that somebody tries again, until it is not interested any more", () => {
  let tried = 0;
  const stop = store.onRetry(() => {
    tried += 1;
  });
  store.retry();
  stop();
  store.retry();
  expect(tried).toBe(1);
});

test("what has not changed of a market stays the same object", async () => {
  const klines = store.klines("BTCUSDT", "1m", 2);
  let changes = 0;
  klines.subscribe(() => {
    changes += 1;
  });
  await serve("kline:BTCUSDT:1m");
  FakeSocket.last.say(snapshot({ n: 1, klines: [kline(1), kline(2), kline(3)], forming: forming(4) }));
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  const before = klines.get();
  expect(before).toMatchObject({ closed: [kline(2), kline(3)], loading: false, error: null });
  say(1, { close: 7 });
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(klines.get().forming).toMatchObject({ close: 7 });
  expect([klines.get().closed, klines.get().status]).toEqual([before.closed, before.status]);
  expect(klines.get().closed).toBe(before.closed);
  expect(klines.get().status).toBe(before.status);
  changes = 0;
  // An update that fits nowhere is no change.
  say(1, forming(1));
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(changes).toBe(0);
});

test("a market that is not served is an error, once", async () => {
  const [klines, all] = [store.klines("NOSUCH", "1m"), store.tickers(["NOSUCH", "BTCUSDT"])];
  klines.subscribe(() => {});
  const stop = all.subscribe(() => {});
  await vi.advanceTimersByTimeAsync(0);
  FakeSocket.last.hello();
  const error = { code: "INVALID_SYMBOL", message: "Unknown symbol NOSUCH." };
  for (const { id, channels } of FakeSocket.last.take().filter(({ op }) => op === "subscribe")) {
    const answers = (channels as string[]).map((channel) => [
      channel,
      channel.endsWith("BTCUSDT") ? { n: 9 } : { error },
    ]);
    FakeSocket.last.say({ op: "subscribed", id, channels: Object.fromEntries(answers) });
  }
  FakeSocket.last.say(tickerSnapshot({ n: 9, ticker: { c: 1 } }));
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(klines.get()).toMatchObject({ loading: false, error: { symbol: "NOSUCH", interval: "1m" } });
  const [unknown, known] = [...all.get().values()];
  expect(unknown).toMatchObject({ ticker: null, error: { code: "INVALID_SYMBOL", interval: null } });
  expect(known).toMatchObject({ ticker: { c: 1 }, error: null, status: { level: "green" } });
  say(9, { c: 2 });
  await vi.advanceTimersByTimeAsync(FRAME_MS);
  expect(all.get().get("NOSUCH")).toBe(unknown);
  expect(all.get().get("BTCUSDT")?.status).toBe(known?.status);
  stop();
  expect(all.get().size).toBe(0);
});

test("to try again checks the connection", async () => {
  vi.mocked(Math.random).mockReturnValue(0.9);
  store.ticker("BTCUSDT").subscribe(() => {});
  FakeSocket.last.end();
  expect(FakeSocket.all).toHaveLength(1);
  store.retry();
  expect(FakeSocket.all).toHaveLength(2);
});

test("an error is one that waiting does not mend", () => {
  const failed = (code: "INVALID_SYMBOL" | "UNAVAILABLE") =>
    errorOf({ level: "red", why: "failed", error: { code, message: "no" } }, "BTCUSDT", null, true);
  expect(failed("INVALID_SYMBOL")).toMatchObject({
    name: "MarketDataError",
    code: "INVALID_SYMBOL",
    symbol: "BTCUSDT",
  });
  expect(failed("UNAVAILABLE")).toBeNull();
  const refused = { level: "red", why: "refused" } as const;
  expect(errorOf(refused, "BTCUSDT", "1m", true)).toMatchObject({ code: "REFUSED", interval: "1m" });
  expect(errorOf(refused, "BTCUSDT", "1m", false)).toBeNull();
});
