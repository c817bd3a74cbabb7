import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { datafeed, followWithLightweightCharts, klineChartLoader, periodOf } from "../src/adapters";
import type { Candle, GetBars } from "../src/adapters/klinecharts";
import { type Bar, intervalOf } from "../src/adapters/tradingview";
import { forming, kline } from "./builders";
import { FakeGateway, minutes } from "./fake-gateway";
import { FakeSocket } from "./fake-socket";

let gateway: FakeGateway;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  vi.spyOn(Math, "random").mockReturnValue(0);
  FakeSocket.all = [];
  gateway = new FakeGateway();
});

afterEach(() => {
  gateway.service.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const turn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(5);
/** A cached past that has become too old for the gateway to continue. */
const tooOld = { recovered: false, klines: [kline(90), kline(91)], forming: forming(92) };

describe("lightweight-charts", () => {
  /** Behaves as the chart does: an older bar is an exception. */
  class ChartSeries<Point extends { time: number }> {
    points: Point[] = [];
    setData(points: Point[]): void {
      this.points = points;
    }
    update(point: Point): void {
      const last = this.points.at(-1);
      if (last !== undefined && point.time < last.time) throw new Error("Cannot update oldest data");
      this.points = [...this.points.filter(({ time }) => time !== point.time), point];
    }
  }

  test("is drawn, followed, drawn anew where the past changes, and left", async () => {
    const candles = new ChartSeries<{ time: number; open: number; high: number; low: number; close: number }>();
    const volumes = new ChartSeries<{ time: number; value: number; color?: string }>();
    const resets: number[] = [];
    const levels: string[] = [];
    const stop = followWithLightweightCharts(gateway.service, candles, {
      symbol: "BTCUSDT",
      interval: "1m",
      volumes,
      volumeColor: ({ close }) => (close > 10 ? "green" : "red"),
      onReset: (bars) => resets.push(bars.length),
      onStatus: ({ level }) => levels.push(level),
    });
    await turn();
    expect(FakeSocket.last.sent.at(-1)).toMatchObject({ op: "subscribe", history: 500 });
    gateway.serve();
    gateway.say(kline(3, { close: 9 }));
    gateway.say(forming(4));
    gateway.say(kline(2, { close: 7 }));
    expect(candles.points.map(({ time, close }) => [time, close])).toEqual([
      [60, 11],
      [120, 7],
      [180, 9],
      [240, 11],
    ]);
    expect(volumes.points.map(({ color }) => color)).toEqual(["green", "red", "red", "green"]);
    expect(resets).toEqual([3, 4]);
    expect(levels.at(-1)).toBe("green");
    stop();
    gateway.say(forming(4, { close: 1 }));
    expect(candles.points.at(-1)?.close).toBe(11);
  });

  test("needs neither volumes nor colours", async () => {
    const candles = new ChartSeries<{ time: number; open: number; high: number; low: number; close: number }>();
    const volumes = new ChartSeries<{ time: number; value: number }>();
    followWithLightweightCharts(gateway.service, candles, { symbol: "BTCUSDT", interval: "1m", history: 10 });
    followWithLightweightCharts(gateway.service, candles, { symbol: "BTCUSDT", interval: "1m", volumes });
    await turn();
    gateway.serve();
    gateway.say(forming(3, { close: 8 }));
    expect(candles.points.at(-1)?.close).toBe(8);
    expect(volumes.points).toHaveLength(3);
  });

  /** A chart's time scale that the test moves. */
  class TimeScale {
    listeners = new Set<(range: { from: number; to: number } | null) => void>();
    subscribeVisibleLogicalRangeChange(moved: (range: { from: number; to: number } | null) => void): void {
      this.listeners.add(moved);
    }
    unsubscribeVisibleLogicalRangeChange(moved: (range: { from: number; to: number } | null) => void): void {
      this.listeners.delete(moved);
    }
    async show(from: number, to: number): Promise<void> {
      for (const moved of this.listeners) moved({ from, to });
      await turn();
    }
  }

  const scrolled = async (options: { maxKlines?: number } = {}) => {
    gateway.stored = [...Array.from({ length: 1_200 }, (_, index) => kline(index + 1)), forming(1_201)];
    const candles = new ChartSeries<{ time: number; open: number; high: number; low: number; close: number }>();
    const volumes = new ChartSeries<{ time: number; value: number }>();
    const timeScale = new TimeScale();
    let beginnings = 0;
    const onBeginning = () => (beginnings += 1);
    const chart = { symbol: "BTCUSDT", interval: "1m", volumes, timeScale, onBeginning, ...options };
    const stop = followWithLightweightCharts(gateway.service, candles, chart);
    await timeScale.show(0, 100);
    gateway.serve({ klines: gateway.stored.slice(700, 1_200) });
    const drawn = () => candles.points.map(({ time }) => time / 60);
    return { candles, volumes, timeScale, stop, drawn, beginnings: () => beginnings };
  };

  test("loads older candles before one gets to the edge, without a hole, while the newest one moves", async () => {
    const { candles, volumes, timeScale, stop, drawn, beginnings } = await scrolled();
    await timeScale.show(300, 400);
    expect(candles.points).toHaveLength(501);
    await timeScale.show(99, 200);
    gateway.say(forming(1_201, { close: 8 }));
    gateway.say(kline(1_201));
    await timeScale.show(99, 200);
    expect(drawn()).toEqual(Array.from({ length: 1_201 }, (_, index) => index + 1));
    expect(volumes.points).toHaveLength(1_201);
    expect(beginnings()).toBe(0);
    await timeScale.show(50, 150);
    await timeScale.show(50, 150);
    expect(beginnings()).toBe(1);
    const asked = gateway.requested.length;
    await timeScale.show(40, 140);
    expect(gateway.requested).toHaveLength(asked);
    // A correction draws everything again, the older ones included.
    gateway.say(kline(1_100, { close: 7 }));
    expect(drawn()).toHaveLength(1_201);
    stop();
    expect(timeScale.listeners.size).toBe(0);
  });

  test("keeps no more than it may, and lets go of what a new beginning does not continue", async () => {
    const { timeScale, drawn } = await scrolled({ maxKlines: 600 });
    for (let times = 0; times < 3; times += 1) await timeScale.show(0, 100);
    expect(drawn()).toHaveLength(1_001);
    gateway.serve({ klines: [kline(2_000), kline(2_001)], forming: forming(2_002), resync: true });
    expect(drawn()).toEqual([2_000, 2_001, 2_002]);
  });

  test("asks again some time after a failure, and drops an answer that comes too late", async () => {
    const { timeScale, stop, drawn } = await scrolled();
    gateway.down = true;
    await timeScale.show(0, 100);
    await vi.advanceTimersByTimeAsync(1_000);
    gateway.down = false;
    await timeScale.show(0, 100);
    expect(drawn()).toHaveLength(501);
    await vi.advanceTimersByTimeAsync(5_000);
    await timeScale.show(0, 100);
    expect(drawn()).toHaveLength(1_001);
    const late = timeScale.show(0, 100);
    stop();
    await late;
    expect(drawn()).toHaveLength(1_001);
  });
});

describe("KLineChart", () => {
  const symbol = { ticker: "BTCUSDT" };
  const period = { type: "minute", span: 1 } as const;
  let loader: ReturnType<typeof klineChartLoader>;
  let resets: number;
  let bars: Candle[];
  let given: { bars: Candle[]; more: unknown }[];

  beforeEach(() => {
    resets = 0;
    bars = [];
    given = [];
    loader = klineChartLoader(gateway.service, { onReset: () => (resets += 1) });
  });

  const load = (type: GetBars["type"], timestamp: number | null = null): Promise<void> =>
    loader.getBars({ type, timestamp, symbol, period, callback: (got, more) => given.push({ bars: got, more }) });
  const subscribe = (): void => loader.subscribeBar({ symbol, period, callback: (got) => bars.push(got) });

  test("has words of its own for intervals", () => {
    expect(periodOf("15m")).toEqual({ type: "minute", span: 15 });
    expect(periodOf("1M")).toEqual({ type: "month", span: 1 });
    expect(() => periodOf("1x")).toThrow(RangeError);
  });

  test("loads the past and goes on from there, whatever came between", async () => {
    await load("init");
    expect(minutes(given[0]?.bars ?? [])).toEqual([1, 2, 3]);
    expect(given[0]?.bars[0]).toEqual({
      timestamp: 60_000,
      open: 10,
      high: 12,
      low: 9,
      close: 11,
      volume: 5,
      turnover: 50,
    });
    expect(given[0]?.more).toEqual({ forward: true, backward: false });
    gateway.stored = [kline(1), kline(2), kline(3), kline(4), forming(5)];
    subscribe();
    await turn();
    gateway.serve();
    gateway.say(kline(5));
    expect(minutes(bars)).toEqual([3, 3, 4, 5, 5]);
    expect(resets).toBe(0);
    subscribe();
    loader.unsubscribeBar({ symbol, period });
    loader.unsubscribeBar({ symbol, period });
    gateway.say(forming(6));
    expect(minutes(bars).at(-1)).toBe(5);
  });

  test("is told to start over where no bar it takes could mend it", async () => {
    await load("init");
    subscribe();
    await turn();
    gateway.serve(tooOld);
    gateway.say(forming(92, { close: 1 }));
    expect(resets).toBe(0);
    await turn();
    expect(resets).toBe(1);
    gateway.say(kline(90, { close: 1 }));
    loader.unsubscribeBar({ symbol, period });
    await turn();
    expect(resets).toBe(1);
  });

  test("scrolls back page by page, to the end", async () => {
    gateway.stored = Array.from({ length: 700 }, (_, index) => kline(index + 1));
    await load("init");
    await load("forward", 201 * 60_000);
    expect(minutes(given[1]?.bars ?? [])).toHaveLength(200);
    // Fewer than a page is not the end: that is when the gateway has none.
    await load("forward", 60_000);
    expect(given[2]?.bars).toEqual([]);
    expect(given.map(({ more }) => more)).toEqual([
      { forward: true, backward: false },
      { forward: true, backward: false },
      { forward: false, backward: false },
    ]);
    await load("backward", 700 * 60_000);
    await load("forward", null);
    expect(given[3]).toEqual({ bars: [], more: false });
    expect(given[4]).toEqual({ bars: [], more: false });
  });

  test("shows nothing while nothing can be had, and is told when there is something", async () => {
    gateway.down = true;
    const silent = klineChartLoader(gateway.service);
    const empty: unknown[] = [];
    const init = silent.getBars({ type: "init", timestamp: null, symbol, period, callback: (got) => empty.push(got) });
    await turn();
    await init;
    expect(empty).toEqual([[]]);
    void load("init");
    await turn();
    void load("forward", 60_000);
    await turn();
    expect(given).toEqual([
      { bars: [], more: { forward: true, backward: false } },
      { bars: [], more: { forward: true, backward: false } },
    ]);
    gateway.stored = [];
    subscribe();
    silent.subscribeBar({ symbol, period, callback: () => {} });
    await turn();
    gateway.serve();
    expect(resets).toBe(0);
    gateway.serve({ klines: [kline(1)], resync: true });
    await turn();
    expect(resets).toBe(1);
    expect(bars).toEqual([]);
  });

  test("is not given the late answer of a market that was left", async () => {
    const late = [load("forward", 60_000), load("init"), load("init")];
    await turn();
    await Promise.all(late);
    expect(given).toHaveLength(1);
  });
});

describe("Advanced Charts", () => {
  const info = { name: "BTCUSDT" };
  let feed: ReturnType<typeof datafeed>;
  let resets: string[];
  let bars: Bar[];

  beforeEach(() => {
    resets = [];
    bars = [];
    feed = datafeed(gateway.service, {
      url: "http://gateway/",
      fetch: gateway.fetch,
      onReset: () => resets.push("chart"),
    });
  });

  const past = async (from: number, to: number, countBack: number, firstDataRequest: boolean) => {
    const answers: unknown[] = [];
    const period = { from: from * 60, to: to * 60, countBack, firstDataRequest };
    feed.getBars(
      info,
      "1",
      period,
      (got, meta) => answers.push({ minutes: minutes(got), ...meta }),
      (reason) => answers.push(reason),
    );
    await turn();
    return answers;
  };
  const subscribe = (listener: string): void =>
    feed.subscribeBars(
      info,
      "1",
      (got) => bars.push(got),
      listener,
      () => resets.push("cache"),
    );

  test("answers later than it was requested, and asks again until the gateway says what it has", async () => {
    gateway.answers["/udf/config"] = { supported_resolutions: ["1"] };
    gateway.down = true;
    const configurations: object[] = [];
    feed.onReady((configuration) => configurations.push(configuration));
    await turn();
    expect(configurations).toEqual([]);
    gateway.down = false;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(configurations).toEqual([{ supported_resolutions: ["1"] }]);
  });

  test("finds symbols and resolves them, or says why not", async () => {
    gateway.answers["/udf/search"] = [{ symbol: "BTCUSDT" }];
    gateway.answers["/udf/symbols"] = { name: "BTCUSDT", pricescale: 100 };
    const heard: unknown[] = [];
    feed.searchSymbols("btc", "", "crypto", (found) => heard.push(found));
    feed.resolveSymbol(
      "BTCUSDT",
      (found) => heard.push(found),
      (reason) => heard.push(reason),
    );
    await turn();
    gateway.answers["/udf/symbols"] = { s: "error", errmsg: "unknown_symbol" };
    feed.resolveSymbol(
      "FOO",
      (found) => heard.push(found),
      (reason) => heard.push(reason),
    );
    await turn();
    gateway.down = true;
    feed.searchSymbols("btc", "", "crypto", (found) => heard.push(found));
    await turn();
    expect(heard).toEqual([[{ symbol: "BTCUSDT" }], { name: "BTCUSDT", pricescale: 100 }, "unknown_symbol", []]);
    expect(gateway.requested[0]).toBe("/udf/search?query=btc&exchange=&type=crypto");
  });

  test("gives as many bars as requested, before `to`, and says when there are none", async () => {
    gateway.stored = Array.from({ length: 1_200 }, (_, index) => kline(index + 1));
    const [first] = (await past(1_100, 1_200, 300, true)) as { minutes: number[] }[];
    expect([first?.minutes.at(0), first?.minutes.at(-1)]).toEqual([701, 1_199]);
    const [second] = (await past(600, 701, 600, false)) as { minutes: number[] }[];
    expect([second?.minutes.at(0), second?.minutes.at(-1)]).toEqual([1, 700]);
    expect(await past(-100, 1, 100, false)).toEqual([{ minutes: [], noData: true }]);
    gateway.down = true;
    expect(await past(-100, 1, 100, false)).toEqual(["fetch failed"]);
    gateway.service.close();
  });

  test("goes on from the past without a hole, and after being left and taken up again", async () => {
    await past(1, 10, 3, true);
    subscribe("one");
    await turn();
    gateway.serve({ klines: [kline(3)], forming: forming(4) });
    expect(minutes(bars.splice(0))).toEqual([3, 3, 4]);
    expect(bars).toEqual([]);
    feed.unsubscribeBars("one");
    feed.unsubscribeBars("one");
    subscribe("two");
    await turn();
    gateway.serve({ klines: [kline(4)], forming: forming(5) });
    // Never an older one: the library calls that a time violation.
    expect(minutes(bars)).toEqual([4, 4, 5]);
    expect(resets).toEqual([]);
  });

  test("has the cache forgotten, then the chart reset, at a gap no bar can fill", async () => {
    await past(1, 10, 3, true);
    subscribe("one");
    await turn();
    gateway.serve(tooOld);
    await turn();
    expect(resets).toEqual(["cache", "chart"]);
    const plain = datafeed(gateway.service, { url: "http://gateway/" });
    plain.subscribeBars(
      { name: "B", ticker: "BTCUSDT" },
      "1",
      () => {},
      "two",
      () => resets.push("cache"),
    );
    await turn();
    expect(resets).toEqual(["cache", "chart", "cache"]);
  });

  test("tells the gateway's time in seconds", async () => {
    const times: number[] = [];
    FakeSocket.last.hello({ time: Date.now() + 5_000 });
    feed.getServerTime((seconds) => times.push(seconds));
    expect(times).toEqual([]);
    await turn();
    expect(times).toEqual([Math.floor(Date.now() / 1_000) + 5]);
  });

  test.each([
    ["1", "1m"],
    ["15", "15m"],
    ["60", "1h"],
    ["240", "4h"],
    ["1S", "1s"],
    ["D", "1d"],
    ["1D", "1d"],
    ["3D", "3d"],
    ["W", "1w"],
    ["1M", "1M"],
    ["M", "1M"],
  ])("resolution %s is the interval %s", (resolution, interval) => {
    expect(intervalOf(resolution)).toBe(interval);
  });
});
