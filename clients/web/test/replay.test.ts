import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type ReplayEvent, type ReplayOptions, replay, replayAddress } from "../src/client";
import { SILENCE_MS } from "../src/client/connection";
import { forming, kline, snapshot, tickerSnapshot } from "./builders";
import { FakeSocket } from "./fake-socket";

const FROM = new Date("2026-10-01T00:00:00Z");
const BTC: ReplayOptions = { from: 0, klines: [["BTCUSDT", "1m"]], WebSocket: FakeSocket };

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
});

afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** Begins a replay, greets, and gives the channels the numbers 1, 2, … */
function begin(options: ReplayOptions): { events: AsyncGenerator<ReplayEvent>; first: Promise<unknown> } {
  const events = replay("http://gateway", options);
  const first = events.next();
  FakeSocket.last.hello();
  const { id, channels } = FakeSocket.last.sent.at(-1) as { id: number; channels: string[] };
  const numbers = Object.fromEntries(channels.map((channel, index) => [channel, { n: index + 1 }]));
  FakeSocket.last.say({ op: "subscribed", id, channels: numbers, time: 180_000 });
  return { events, first };
}

const say = (t: number, n: number, update: unknown): void => FakeSocket.last.say({ op: "update", t, u: [[n, update]] });

test("its address has the time, the speed and the gateway's path", () => {
  const to = FROM.getTime() + 1;
  expect(replayAddress("https://host/gateway", { from: FROM, to, speed: 2.5 })).toBe(
    `wss://host/gateway/replay/${FROM.getTime()}/${to}/2.5x/v1/stream`,
  );
  expect(replayAddress("http://host:8000/", { from: 0 })).toBe("ws://host:8000/replay/0/60x/v1/stream");
});

test("what was before comes first, in the order of the market; then what happens, whole", async () => {
  const { events, first } = begin({ ...BTC, tickers: ["BTCUSDT", "BTCUSDT"], history: 2, token: "secret" });
  expect(FakeSocket.last.protocols).toEqual(["kline.v1.json", "kline.token.secret"]);
  expect(FakeSocket.last.sent).toEqual([
    { op: "subscribe", id: 2, channels: ["kline:BTCUSDT:1m", "ticker:BTCUSDT"], history: 2 },
  ]);
  FakeSocket.last.say(tickerSnapshot({ n: 2, ticker: { c: 11, h: 12 } }));
  FakeSocket.last.say(snapshot({ n: 1, klines: [kline(1)], more: true }));
  FakeSocket.last.say(snapshot({ n: 1, klines: [kline(2)], forming: forming(3), recovered: true }));
  say(195_000, 1, { close: 10.5 });
  say(195_000, 2, { c: 10.5 });
  say(240_000, 1, kline(3));
  say(240_000, 1, { close: 1 });
  FakeSocket.last.say({ op: "heartbeat", t: 240_000 });
  FakeSocket.last.say("no message");
  FakeSocket.last.say({ op: "replay_end", t: 300_000, reason: "to" });
  FakeSocket.last.end(4007);
  const all = [((await first) as IteratorResult<ReplayEvent>).value];
  for await (const event of events) all.push(event);
  const [symbol, interval] = ["BTCUSDT", "1m"];
  expect(all).toEqual([
    { at: 120_000, symbol, interval, kline: kline(1) },
    { at: 180_000, symbol, interval: null, ticker: { c: 11, h: 12 } },
    { at: 180_000, symbol, interval, kline: kline(2) },
    { at: 180_000, symbol, interval, kline: forming(3) },
    { at: 195_000, symbol, interval, kline: forming(3, { close: 10.5 }) },
    { at: 195_000, symbol, interval: null, ticker: { c: 10.5, h: 12 } },
    { at: 240_000, symbol, interval, kline: kline(3) },
  ]);
  expect(FakeSocket.last.closed).toBe(true);
});

test("what comes while the loop is busy is not lost, and leaving it ends the replay", async () => {
  const { events, first } = begin({ ...BTC, tickers: ["BTCUSDT"], closedOnly: true });
  expect(FakeSocket.last.sent[0]).toEqual({ op: "set", closed_only: true });
  FakeSocket.last.say(snapshot({ klines: [kline(1)], forming: forming(2) }));
  FakeSocket.last.say(tickerSnapshot({ n: 2 }));
  await first;
  FakeSocket.last.say({ op: "update", t: 1, u: [[1, kline(2)]] });
  const seen: number[] = [];
  for await (const event of events) {
    if (event.interval !== null) seen.push(event.kline.openTime / 60_000);
    if (seen.length === 1) say(2, 1, kline(3));
    if (seen.length === 2) break;
  }
  expect(seen).toEqual([2, 3]);
  expect(FakeSocket.last.closed).toBe(true);
});

test("a ticker may have nothing yet", async () => {
  const { events, first } = begin({ from: 0, tickers: ["BTCUSDT"], WebSocket: FakeSocket });
  FakeSocket.last.say(tickerSnapshot({ n: 1, ticker: null }));
  say(5, 1, { c: 2 });
  expect(await first).toEqual({
    done: false,
    value: { at: 5, symbol: "BTCUSDT", interval: null, ticker: { c: 2 } },
  });
  await events.return(undefined);
});

test("what the gateway refuses, an interruption and silence are errors", async () => {
  await expect(replay("http://gateway", { from: 0 }).next()).rejects.toThrow("at least one");
  const refused = begin(BTC).first;
  const error = { code: "INVALID_SYMBOL", message: "Unknown symbol BTCUSDT." };
  FakeSocket.last.say({ op: "subscribed", id: 2, channels: { "kline:BTCUSDT:1m": { error } }, time: 0 });
  await expect(refused).rejects.toMatchObject({ name: "ReplayError", code: "INVALID_SYMBOL" });
  const wrong = begin(BTC).first;
  FakeSocket.last.say({ op: "error", id: 2, code: "BAD_REQUEST", message: "no" });
  await expect(wrong).rejects.toMatchObject({ code: "BAD_REQUEST", message: "no" });
  const cut = begin(BTC).first;
  FakeSocket.last.end(1012);
  await expect(cut).rejects.toMatchObject({ code: "INTERRUPTED", message: expect.stringContaining("1012") });
  const quiet = begin(BTC).first;
  vi.advanceTimersByTime(SILENCE_MS);
  await expect(quiet).rejects.toMatchObject({ code: "INTERRUPTED", message: expect.stringContaining("15 s") });
});
