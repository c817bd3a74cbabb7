import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type KlineEvent, KlineStream, type TickerEvent } from "../src/client";
import { LINGER_MS } from "../src/client/demand";
import { forming, kline, MINUTE, snapshot, tickerSnapshot } from "./builders";
import { FakeSocket } from "./fake-socket";

const KLINE = "kline:BTCUSDT:1m";
const TICKER = "ticker:BTCUSDT";
const URL = "ws://gateway/v1/stream";

let stream: KlineStream;
let klines: KlineEvent[];
let tickers: TickerEvent[];

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  vi.spyOn(Math, "random").mockReturnValue(0);
  FakeSocket.all = [];
  klines = [];
  tickers = [];
  // Without a rate, so that what is sent is about channels only.
  stream = new KlineStream({ url: URL, WebSocket: FakeSocket, maxRate: null });
  connect(stream);
});

afterEach(() => {
  stream.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** Whoever listens to the connection needs it. */
const connect = (stream: KlineStream): (() => void) => stream.onConnection(() => {});
const turn = async (): Promise<void> => {
  await Promise.resolve();
};
const listen = (event: KlineEvent): number => klines.push(event);
const listenTicker = (event: TickerEvent): number => tickers.push(event);
const kinds = (): string[] => klines.splice(0).map((event) => event.kind);

/** Subscribed and served: number 1, two closed klines and a forming one. */
async function joined(history = 300): Promise<void> {
  FakeSocket.last.hello();
  stream.klines("BTCUSDT", "1m", history, listen);
  await turn();
  serve();
  klines.length = 0;
}

function serve(n = 1): void {
  const { id } = FakeSocket.last.take().at(-1) ?? {};
  FakeSocket.last.say({ op: "subscribed", id, channels: { [KLINE]: { n } } });
  FakeSocket.last.say(snapshot({ n, klines: [kline(1), kline(2)], forming: forming(3) }));
}

async function reconnect(over = {}): Promise<void> {
  FakeSocket.last.end();
  await vi.advanceTimersByTimeAsync(0);
  FakeSocket.last.hello(over);
}

test("what is asked for in one turn travels together, one command per depth of history", async () => {
  FakeSocket.last.hello();
  stream.klines("BTCUSDT", "1m", 300, listen);
  stream.klines("ETHUSDT", "1m", 300, listen);
  stream.ticker("BTCUSDT", listenTicker);
  stream.ticker("ETHUSDT", listenTicker);
  await turn();
  expect(FakeSocket.last.take()).toEqual([
    { op: "subscribe", id: 1, channels: [KLINE, "kline:ETHUSDT:1m"], history: 300 },
    { op: "subscribe", id: 2, channels: [TICKER, "ticker:ETHUSDT"] },
  ]);
});

describe("the rate of updates", () => {
  const limits = { max_subscriptions: 1024, max_message_bytes: 8192, history_max: 500, latency_ms: 1 };

  async function asked(rates: { maxRate?: number | null; latencyMs?: number }, over = {}): Promise<unknown[]> {
    stream.close();
    stream = new KlineStream({ url: URL, WebSocket: FakeSocket, ...rates });
    connect(stream);
    FakeSocket.last.hello(over);
    const sent = FakeSocket.last.take();
    // The next connection is told the same.
    await reconnect(over);
    expect(FakeSocket.last.take()).toEqual(sent);
    return sent;
  }

  test("is what a screen can show, unless another is wanted or none", async () => {
    expect(await asked({})).toEqual([{ op: "set", max_rate: 30 }]);
    expect(await asked({ maxRate: 4 })).toEqual([{ op: "set", max_rate: 4 }]);
    expect(await asked({ maxRate: null })).toEqual([]);
  });

  test("has no limit where each update is wanted at once, if the gateway offers that", async () => {
    expect(await asked({ latencyMs: 0 }, { limits })).toEqual([{ op: "set", latency_ms: 0 }]);
    expect(await asked({ latencyMs: 0 })).toEqual([]);
    expect(await asked({ latencyMs: 0, maxRate: 4 }, { limits })).toEqual([
      { op: "set", max_rate: 4 },
      { op: "set", latency_ms: 0 },
    ]);
  });

  test("goes before the channels, and a refusal disturbs none of them", async () => {
    stream.close();
    stream = new KlineStream({ url: URL, WebSocket: FakeSocket, latencyMs: 0 });
    stream.ticker("BTCUSDT", listenTicker);
    await turn();
    FakeSocket.last.hello({ limits });
    expect(FakeSocket.last.take().map((command) => command["op"])).toEqual(["set", "subscribe"]);
    FakeSocket.last.say({ op: "error", code: "FORBIDDEN", message: "no" });
    FakeSocket.last.say({ op: "subscribed", id: 1, channels: { [TICKER]: { n: 1 } } });
    FakeSocket.last.say(tickerSnapshot({ n: 1 }));
    expect(tickers.map((event) => event.kind)).toContain("ticker");
  });

  test("changes how long an update waits", () => {
    FakeSocket.last.hello({ interval_ms: 60 });
    expect(stream.info.intervalMs).toBe(60);
    FakeSocket.last.say({ op: "set", max_rate: 30, interval_ms: 33 });
    expect(stream.info.intervalMs).toBe(33);
  });
});

test("what is asked for before the connection is open is sent after the hello", async () => {
  stream.klines("BTCUSDT", "1m", 300, listen);
  await turn();
  expect(FakeSocket.last.sent).toEqual([]);
  FakeSocket.last.hello();
  expect(FakeSocket.last.take()).toEqual([{ op: "subscribe", id: 1, channels: [KLINE], history: 300 }]);
});

test("a channel says whether its klines are made of others, as the newest snapshot has it", async () => {
  FakeSocket.last.hello();
  const subscription = stream.klines("BTCUSDT", "1m", 300, listen);
  await turn();
  serve();
  expect(subscription.derived).toBe(false);
  FakeSocket.last.say(snapshot({ klines: [kline(1)], derived: true }));
  expect(subscription.derived).toBe(true);
  FakeSocket.last.say(snapshot({ klines: [kline(1)] }));
  expect(subscription.derived).toBe(false);
});

test("history is no more than the gateway allows", () => {
  stream.klines("BTCUSDT", "1m", 300, listen);
  FakeSocket.last.hello({ limits: { history_max: 50 } });
  expect(FakeSocket.last.take()).toMatchObject([{ history: 50 }]);
});

test("many channels are split over commands that fit the gateway's limit", async () => {
  FakeSocket.last.hello();
  for (let index = 0; index < 130; index += 1) stream.ticker(`COIN${index}USDT`, listenTicker);
  await turn();
  const commands = FakeSocket.last.take();
  expect(commands.map((command) => (command["channels"] as string[]).length)).toEqual([64, 64, 2]);
  expect(Math.max(...commands.map((command) => JSON.stringify(command).length))).toBeLessThan(8192);
});

test("a listener gets the snapshot, the update in order and the status", async () => {
  await joined();
  FakeSocket.last.say({
    op: "update",
    t: 1_000_500,
    u: [
      [1, { close: 7 }],
      [1, kline(3)],
      [1, forming(4)],
      [9, { close: 1 }],
    ],
  });
  expect(klines.map((event) => (event.kind === "klines" ? event.klines : event.kind))).toEqual([
    [forming(3, { close: 7 })],
    [kline(3)],
    [forming(4)],
  ]);
  expect(stream.info).toMatchObject({ updates: 4, clockOffsetMs: 500 });
  FakeSocket.last.say({ op: "status", channels: { "1": "stale", "9": "stale" }, reason: "redis", since: 5 });
  FakeSocket.last.say({ op: "status", channels: { "1": "live" } });
  expect(klines.slice(3)).toEqual([
    { kind: "status", status: { state: "stale", reason: "redis", since: 5 } },
    { kind: "status", status: { state: "live" } },
  ]);
});

test("update that cannot be placed is told to nobody", async () => {
  await joined();
  FakeSocket.last.say({ op: "update", t: 1, u: [[1, forming(1)]] });
  expect(klines).toEqual([]);
});

test("a snapshot says why its channel is stale", async () => {
  await joined();
  FakeSocket.last.say(snapshot({ klines: [kline(1)], state: "stale", reason: "prices", since: 7 }));
  expect(klines.at(-1)).toEqual({ kind: "status", status: { state: "stale", reason: "prices", since: 7 } });
});

test("a resync snapshot makes the chart start over", async () => {
  await joined();
  FakeSocket.last.say(snapshot({ klines: [kline(1), kline(2, { close: 99 })], forming: forming(3), resync: true }));
  expect(kinds()).toEqual(["reset", "status"]);
});

test("a ticker is folded, and null means that nothing is known yet", async () => {
  FakeSocket.last.hello();
  stream.ticker("BTCUSDT", listenTicker);
  await turn();
  FakeSocket.last.say({ op: "subscribed", id: 1, channels: { [TICKER]: { n: 2 } } });
  FakeSocket.last.say(tickerSnapshot({ ticker: null }));
  expect(tickers.splice(0)).toEqual([{ kind: "status", status: { state: "live" } }]);
  const late: TickerEvent[] = [];
  stream.ticker("BTCUSDT", (event) => late.push(event));
  expect(late.splice(0)).toEqual([{ kind: "status", status: { state: "live" } }]);
  FakeSocket.last.say(tickerSnapshot({ ticker: { c: 1, h: 3 } }));
  FakeSocket.last.say({ op: "update", t: 1, u: [[2, { c: 2 }]] });
  expect(tickers.at(-1)).toEqual({ kind: "ticker", ticker: { c: 2, h: 3 } });
  expect(late).toEqual(tickers);
  const later: TickerEvent[] = [];
  stream.ticker("BTCUSDT", (event) => later.push(event));
  expect(later[0]).toEqual({ kind: "ticker", ticker: { c: 2, h: 3 } });
});

describe("sharing", () => {
  test("a second listener of a channel costs no command and is told at once what is held", async () => {
    await joined();
    const second: KlineEvent[] = [];
    stream.klines("BTCUSDT", "1m", 100, (event) => second.push(event));
    await turn();
    expect(FakeSocket.last.sent).toEqual([]);
    expect(second).toEqual([
      { kind: "reset", series: { closed: [kline(1), kline(2)], forming: forming(3) } },
      { kind: "status", status: { state: "live" } },
    ]);
  });

  test("a second listener before the first snapshot waits with the first", async () => {
    FakeSocket.last.hello();
    stream.klines("BTCUSDT", "1m", 300, listen);
    stream.klines("BTCUSDT", "1m", 300, listen);
    await turn();
    expect(klines).toEqual([]);
    expect(FakeSocket.last.sent).toHaveLength(1);
  });

  test("a listener that wants more history has it asked for, without a cursor", async () => {
    await joined(100);
    stream.klines("BTCUSDT", "1m", 400, () => {});
    await turn();
    expect(FakeSocket.last.take()).toEqual([{ op: "subscribe", id: 2, channels: [KLINE], history: 400 }]);
  });

  test("only the last one to go unsubscribes, and nothing of the channel follows", async () => {
    FakeSocket.last.hello();
    const first = stream.klines("BTCUSDT", "1m", 300, listen);
    const second = stream.klines("BTCUSDT", "1m", 300, () => {});
    await turn();
    serve();
    second.close();
    await turn();
    expect(FakeSocket.last.sent).toEqual([]);
    klines.length = 0;
    first.close();
    first.close();
    await turn();
    expect(FakeSocket.last.take()).toEqual([{ op: "unsubscribe", id: 2, channels: [KLINE] }]);
    FakeSocket.last.say({ op: "update", t: 1, u: [[1, { close: 7 }]] });
    expect(klines).toEqual([]);
  });

  test("given up before it was ever asked for, a channel is not asked for", async () => {
    FakeSocket.last.hello();
    stream.klines("BTCUSDT", "1m", 300, listen).close();
    await turn();
    expect(FakeSocket.last.take()).toEqual([{ op: "unsubscribe", id: 1, channels: [KLINE] }]);
  });

  test("given up and taken up again in one turn, a channel is only asked for again", async () => {
    FakeSocket.last.hello();
    const first = stream.klines("BTCUSDT", "1m", 300, () => {});
    await turn();
    serve();
    first.close();
    const again = stream.klines("BTCUSDT", "1m", 300, listen);
    await turn();
    const commands = FakeSocket.last.take();
    expect(commands).toEqual([{ op: "subscribe", id: 2, channels: [KLINE], history: 300 }]);
    FakeSocket.last.say({ op: "update", t: 1, u: [[1, { close: 7 }]] });
    expect(klines).toEqual([]);
    FakeSocket.last.say({ op: "subscribed", id: 2, channels: { [KLINE]: { n: 1 } } });
    FakeSocket.last.say({ op: "update", t: 1, u: [[1, { close: 7 }]] });
    expect(klines).toEqual([]);
    FakeSocket.last.say(snapshot({ klines: [kline(1)], forming: forming(2) }));
    expect(kinds()).toEqual(["reset", "status"]);
    expect(again.status).toEqual({ state: "live" });
    expect(again.lastMessageAt).toBe(Date.now());
    expect(again.channel).toBe(KLINE);
  });

  test("the answer to a subscription that was given up is nobody's", async () => {
    FakeSocket.last.hello();
    const first = stream.klines("BTCUSDT", "1m", 300, listen);
    await turn();
    first.close();
    FakeSocket.last.say({ op: "subscribed", id: 1, channels: { [KLINE]: { n: 1 } } });
    FakeSocket.last.say(snapshot());
    expect(klines).toEqual([]);
  });
});

describe("a reconnect", () => {
  test("resumes from the last closed kline and continues without a hole", async () => {
    await joined();
    FakeSocket.last.end();
    expect(klines.splice(0)).toEqual([{ kind: "status", status: { state: "waiting" } }]);
    await vi.advanceTimersByTimeAsync(0);
    expect(klines).toEqual([]);
    FakeSocket.last.hello();
    expect(FakeSocket.last.take()).toEqual([
      { op: "subscribe", id: 2, channels: [KLINE], history: 300, resume: { [KLINE]: 2 * MINUTE } },
    ]);
    FakeSocket.last.say({ op: "subscribed", id: 2, channels: { [KLINE]: { n: 44, recovered: true } } });
    FakeSocket.last.say(snapshot({ n: 44, klines: [kline(3), kline(4)], forming: forming(5), recovered: true }));
    expect(klines[0]).toEqual({
      kind: "klines",
      klines: [kline(3), kline(4), forming(5)],
      series: { closed: [kline(1), kline(2), kline(3), kline(4)], forming: forming(5) },
    });
  });

  test("takes a replacement where the gap was too long", async () => {
    await joined();
    await reconnect();
    FakeSocket.last.say({ op: "subscribed", id: 2, channels: { [KLINE]: { n: 1 } } });
    FakeSocket.last.say(snapshot({ klines: [kline(90)], forming: forming(91), recovered: false }));
    expect(klines.find((event) => event.kind === "reset")).toMatchObject({ series: { closed: [kline(90)] } });
  });

  test("forgets the old numbers", async () => {
    await joined();
    await reconnect();
    klines.length = 0;
    FakeSocket.last.say({ op: "update", t: 1, u: [[1, { close: 7 }]] });
    expect(klines).toEqual([]);
  });

  test("drops what was given up while unavailable, and asks for what was wanted", async () => {
    const gone = stream.ticker("ETHUSDT", listenTicker);
    await joined();
    FakeSocket.last.end();
    gone.close();
    stream.ticker("BTCUSDT", listenTicker);
    await vi.advanceTimersByTimeAsync(0);
    FakeSocket.last.hello();
    expect(FakeSocket.last.take().map((command) => [command["op"], command["channels"]])).toEqual([
      ["subscribe", [TICKER]],
      ["subscribe", [KLINE]],
    ]);
  });

  test("tells those who watch the connection, until they stop", async () => {
    const phases: string[] = [];
    const stop = stream.onConnection((info) => phases.push(info.phase));
    FakeSocket.last.hello();
    FakeSocket.last.say({ op: "throttle", interval_ms: 200, reason: "load" });
    expect(stream.info.throttled).toBe("load");
    FakeSocket.last.say({ op: "throttle", interval_ms: 50, reason: "recovered" });
    expect(stream.info.throttled).toBeNull();
    FakeSocket.last.say({ op: "throttle", interval_ms: 200, reason: "load" });
    expect(stream.info.intervalMs).toBe(200);
    FakeSocket.last.end();
    stop();
    await vi.advanceTimersByTimeAsync(0);
    expect(phases).toEqual(["open", "open", "open", "open", "open", "waiting"]);
  });

  test("is tried at once when asked to check", () => {
    vi.spyOn(Math, "random").mockReturnValue(0.9);
    FakeSocket.last.end();
    expect(FakeSocket.all).toHaveLength(1);
    stream.check();
    expect(FakeSocket.all).toHaveLength(2);
  });
});

describe("a refusal", () => {
  const error = { code: "INVALID_SYMBOL", message: "nobody has data" };

  beforeEach(async () => {
    FakeSocket.last.hello();
    stream.klines("BTCUSDT", "1m", 300, listen);
    stream.klines("ETHUSDT", "1m", 300, listen);
    await turn();
    FakeSocket.last.take();
  });

  test("of one channel leaves the others alone", () => {
    FakeSocket.last.say({ op: "subscribed", id: 1, channels: { [KLINE]: { error }, "kline:ETHUSDT:1m": { n: 5 } } });
    expect(klines).toEqual([{ kind: "status", status: { state: "failed", error } }]);
  });

  test("of the whole command is told to each channel", () => {
    FakeSocket.last.say({ op: "error", id: 1, ...error });
    expect(klines).toHaveLength(2);
    FakeSocket.last.say({ op: "error", id: 1, ...error });
    FakeSocket.last.say({ op: "error", ...error });
    expect(klines).toHaveLength(2);
  });

  test.each(["UNAVAILABLE", "RATE_LIMIT"])(
    "with %s is tried again, after a random time that doubles, for as long as it is wanted",
    async (code) => {
      vi.mocked(Math.random).mockReturnValue(0.5);
      for (const [id, waitMs] of [
        [1, 250],
        [2, 500],
        [3, 1_000],
      ] as const) {
        FakeSocket.last.say({ op: "subscribed", id, channels: { [KLINE]: { error: { code, message: "try again" } } } });
        FakeSocket.last.say({ op: "heartbeat", t: 1 });
        await vi.advanceTimersByTimeAsync(waitMs - 1);
        expect(FakeSocket.last.sent).toEqual([]);
        await vi.advanceTimersByTimeAsync(1);
        expect(FakeSocket.last.take()).toEqual([{ op: "subscribe", id: id + 1, channels: [KLINE], history: 300 }]);
      }
      expect(kinds()).toEqual(Array(6).fill("status"));
    },
  );

  test("counts from the beginning again after a snapshot", async () => {
    vi.mocked(Math.random).mockReturnValue(0.5);
    const unavailable = { error: { code: "UNAVAILABLE", message: "try again" } };
    FakeSocket.last.say({ op: "subscribed", id: 1, channels: { [KLINE]: unavailable } });
    await vi.advanceTimersByTimeAsync(250);
    serve();
    stream.klines("BTCUSDT", "1m", 400, listen);
    await turn();
    const { id } = FakeSocket.last.take().at(-1) ?? {};
    FakeSocket.last.say({ op: "subscribed", id, channels: { [KLINE]: unavailable } });
    await vi.advanceTimersByTimeAsync(250);
    expect(FakeSocket.last.take()).toHaveLength(1);
  });

  test("is not tried again for a channel nobody wants any more, nor on the next connection", async () => {
    const unavailable = { error: { code: "UNAVAILABLE", message: "try again" } };
    const third = stream.klines("XRPUSDT", "1m", 300, listen);
    await turn();
    FakeSocket.last.say({ op: "subscribed", id: 2, channels: { "kline:XRPUSDT:1m": unavailable } });
    third.close();
    await turn();
    FakeSocket.last.take();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(FakeSocket.last.sent).toEqual([]);
    FakeSocket.last.say({ op: "subscribed", id: 1, channels: { [KLINE]: unavailable } });
    await reconnect();
    expect(FakeSocket.last.take()).toHaveLength(1);
    FakeSocket.last.say({ op: "heartbeat", t: 1 });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(FakeSocket.last.sent).toEqual([]);
  });
});

describe("a connection", () => {
  beforeEach(() => {
    stream.close();
    FakeSocket.all = [];
    stream = new KlineStream({ url: () => URL, WebSocket: FakeSocket, maxRate: null });
  });

  test("is opened for the first subscription, and not before", async () => {
    expect(stream.info.phase).toBe("idle");
    const phases: string[] = [];
    stream.onConnection((info) => phases.push(info.phase), { connect: false });
    stream.check();
    stream.reconnect();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([FakeSocket.all, phases]).toEqual([[], []]);
    stream.ticker("BTCUSDT", listenTicker);
    stream.klines("BTCUSDT", "1m", 300, listen);
    expect(phases).toEqual(["connecting"]);
    FakeSocket.last.hello();
    expect(FakeSocket.last.take()).toHaveLength(2);
    expect(FakeSocket.all).toHaveLength(1);
  });

  test("is released some time after the last subscription, and opened again for the next one", async () => {
    const first = stream.ticker("BTCUSDT", listenTicker);
    const second = stream.ticker("ETHUSDT", listenTicker);
    FakeSocket.last.hello();
    first.close();
    await vi.advanceTimersByTimeAsync(LINGER_MS);
    FakeSocket.last.say({ op: "heartbeat", t: 1 });
    await vi.advanceTimersByTimeAsync(LINGER_MS);
    FakeSocket.last.say({ op: "heartbeat", t: 1 });
    expect(stream.info.phase).toBe("open");
    second.close();
    await vi.advanceTimersByTimeAsync(LINGER_MS - 1);
    expect(stream.info.phase).toBe("open");
    stream.ticker("BTCUSDT", listenTicker).close();
    await vi.advanceTimersByTimeAsync(LINGER_MS);
    expect(stream.info.phase).toBe("idle");
    expect(FakeSocket.last.closed).toBe(true);
    stream.ticker("BTCUSDT", listenTicker);
    FakeSocket.last.hello();
    expect(FakeSocket.last.take()).toEqual([{ op: "subscribe", id: expect.any(Number), channels: [TICKER] }]);
    expect(FakeSocket.all).toHaveLength(2);
  });

  test("is not opened again without a subscription, as when the gateway closes it for want of one", async () => {
    const stop = connect(stream);
    FakeSocket.last.hello();
    stop();
    stop();
    FakeSocket.last.end(4003);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(stream.info.phase).toBe("idle");
    expect(FakeSocket.all).toHaveLength(1);
  });

  test("that is closed is not opened for a subscription, nor released", async () => {
    const subscription = stream.ticker("BTCUSDT", listenTicker);
    stream.close();
    subscription.close();
    stream.ticker("BTCUSDT", listenTicker);
    expect([FakeSocket.all.length, stream.info.phase]).toEqual([1, "closed"]);
  });

  test("without a WebSocket is an error of whoever needs one", () => {
    vi.stubGlobal("WebSocket", undefined);
    const own = new KlineStream({ url: URL });
    expect(() => own.ticker("BTCUSDT", listenTicker)).toThrow("no WebSocket in this environment");
    expect(() => own.ticker("BTCUSDT", listenTicker)).toThrow("no WebSocket in this environment");
    expect(own.info.phase).toBe("idle");
    vi.unstubAllGlobals();
  });
});

test("messages of later protocols and of no interest are passed over", async () => {
  await joined();
  FakeSocket.last.say({ op: "fanfare" });
  FakeSocket.last.say({ op: "unsubscribed", channels: [] });
  FakeSocket.last.say(snapshot({ n: 77 }));
  expect(klines).toEqual([]);
});

test("the environment's own WebSocket is used where none is given", () => {
  vi.stubGlobal("WebSocket", FakeSocket);
  const own = new KlineStream({ url: "ws://other/v1/stream" });
  connect(own);
  expect(FakeSocket.last.url).toBe("ws://other/v1/stream");
  own.close();
  vi.unstubAllGlobals();
});
