// What the playground decides without a document: the choice, what is said, the frames that are kept.

import { expect, test } from "vitest";
import { type Choice, channels, DIALECTS, FOLLOWED, formatChoice, LANGUAGES, parseChoice } from "../src/try/choice";
import { closeMeaning, describe as described } from "../src/try/describe";
import { examples, target } from "../src/try/dialects";
import { dataOf, EventStream } from "../src/try/event-stream";
import { type Frame, FrameList, Meter, matching, sizeOf, timeOf } from "../src/try/frames";
import { pretty } from "../src/try/pretty";

const CHOICE = parseChoice("");

test("an address keeps the choice, and everything else is as without one", () => {
  expect(CHOICE).toEqual({
    dialect: "native",
    symbol: "BTCUSDT",
    interval: "1m",
    followed: "klines+ticker",
    language: "python",
  });
  for (const dialect of DIALECTS) {
    for (const followed of FOLLOWED) {
      for (const language of LANGUAGES) {
        const choice: Choice = { dialect, symbol: "币安人生/USDT", interval: "15m", followed, language };
        expect(parseChoice(formatChoice(choice))).toEqual(choice);
      }
    }
  }
  expect(parseChoice("#shouted/%zz/never/nothing/klingon")).toEqual(CHOICE);
  expect(parseChoice("#/binance/ethusdt")).toEqual({ ...CHOICE, dialect: "binance", symbol: "ETHUSDT" });
});

test("each dialect is asked for what is followed", () => {
  const of = (dialect: Choice["dialect"], followed: Choice["followed"] = "klines+ticker") =>
    target({ ...CHOICE, dialect, followed });
  expect(of("native")).toEqual({
    kind: "socket",
    path: "v1/stream",
    subprotocol: "kline.v1.json",
    first: ['{"op":"subscribe","id":1,"channels":["kline:BTCUSDT:1m","ticker:BTCUSDT"],"history":3}'],
  });
  expect(of("compact", "ticker")).toMatchObject({
    subprotocol: "kline.v1.compact",
    first: ['{"op":"subscribe","id":1,"channels":["ticker:BTCUSDT"]}'],
  });
  expect(of("binance").path).toBe("stream?streams=btcusdt@kline_1m/btcusdt@miniTicker");
  expect(of("events", "klines").path).toBe("v1/stream.sse?channels=kline:BTCUSDT:1m&history=3");
  expect(of("http")).toMatchObject({
    path: "v1/klines?symbol=BTCUSDT&interval=1m&limit=5",
    first: ["v1/ticker?symbol=BTCUSDT"],
  });
  expect(of("http", "ticker")).toMatchObject({ path: "v1/ticker?symbol=BTCUSDT", first: [] });
  expect(channels({ ...CHOICE, followed: "klines" })).toEqual(["kline:BTCUSDT:1m"]);
});

test("each dialect has examples, in JSON but for those that are meant to be wrong", () => {
  for (const dialect of DIALECTS) {
    for (const { name, text } of examples({ ...CHOICE, dialect })) {
      if (dialect === "http") expect(text).toMatch(/^\/\w/);
      else if (text !== "" && !name.includes("no JSON")) expect(() => JSON.parse(text)).not.toThrow();
    }
  }
});

const frame = (text: string, more: Partial<Frame> = {}): Omit<Frame, "number"> => ({
  direction: "in",
  at: 0,
  text,
  bytes: text.length,
  label: "update",
  code: "",
  ...more,
});

test("the newest frames are kept, bounded in number and in text", () => {
  const list = new FrameList(3, 40);
  for (const text of ["a", "b", "c", "d"]) list.add(frame(text));
  expect(list.frames.map(({ number, text }) => [number, text])).toEqual([
    [2, "b"],
    [3, "c"],
    [4, "d"],
  ]);
  const before = list.frames;
  list.add(frame("x".repeat(100)));
  // A long one is cut, and says how long it was.
  expect(list.frames.at(-1)).toMatchObject({ text: "x".repeat(10), bytes: 100 });
  for (let more = 0; more < 9; more += 1) list.add(frame("y".repeat(20)));
  expect(list.frames.map(({ text }) => text.length)).toEqual([10, 10, 10]);
  expect(before).toHaveLength(3);
  const narrow = new FrameList(100, 40);
  for (let more = 0; more < 9; more += 1) narrow.add(frame("z".repeat(9)));
  expect(narrow.frames).toHaveLength(4);
  list.clear();
  expect([list.frames, list.count]).toEqual([[], 14]);
  list.add(frame("e"));
  expect(list.frames).toMatchObject([{ number: 15 }]);
});

test("frames are found by text, label and code, and by direction", () => {
  const list = new FrameList(9, 1_000);
  list.add(frame('{"op":"hello"}', { label: "hello" }));
  list.add(frame('{"op":"list"}', { direction: "out" }));
  list.add(frame("no", { label: "error", code: "UNKNOWN_OP" }));
  const found = (text: string, direction: Frame["direction"] | "all" = "all") =>
    matching(list.frames, { text, direction }).map(({ number }) => number);
  expect(found("")).toEqual([1, 2, 3]);
  expect(matching(list.frames, { text: "", direction: "all" })).toBe(list.frames);
  expect(found("OP")).toEqual([1, 2, 3]);
  expect(found("unknown")).toEqual([3]);
  expect(found("", "out")).toEqual([2]);
  expect(found("hello", "out")).toEqual([]);
});

test("rates are those since the last look", () => {
  const meter = new Meter();
  meter.read(1_000);
  meter.add(500);
  meter.add(700);
  expect(meter.read(3_000)).toEqual({ framesPerS: 1, bytesPerS: 600 });
  expect(meter.read(3_000)).toEqual({ framesPerS: 0, bytesPerS: 0 });
  expect([meter.frames, meter.bytes]).toEqual([2, 1_200]);
});

test("sizes and times are short", () => {
  expect([87, 999, 1_234, 3_400_000].map(sizeOf)).toEqual(["87 B", "999 B", "1.2 kB", "3.4 MB"]);
  expect(timeOf(new Date(2026, 0, 1, 9, 5, 7, 42).getTime())).toBe("09:05:07.042");
});

test.each([
  ['{"op":"update","t":1,"u":[]}', "update", ""],
  ["[1732310070123,17,97123.45]", "update", ""],
  ['[["x"]]', "list", ""],
  ["17", "value", ""],
  ["{op:list}", "text", ""],
  ['{"op":"error","id":1,"code":"BAD_JSON"}', "error", "BAD_JSON"],
  ['{"op":"close","code":1012,"reason":"restart"}', "close", "1012"],
  [
    '{"op":"subscribed","channels":{"a":{"n":1},"b":{"error":{"code":"INVALID_SYMBOL"}}}}',
    "subscribed",
    "INVALID_SYMBOL",
  ],
  ['{"op":"subscribed","channels":{"a":{"n":1}}}', "subscribed", ""],
  ['{"method":"LIST_SUBSCRIPTIONS","id":1}', "LIST_SUBSCRIPTIONS", ""],
  ['{"stream":"btcusdt@kline_1m","data":{"e":"kline"}}', "kline", ""],
  ['{"e":"24hrMiniTicker"}', "24hrMiniTicker", ""],
  ['{"result":null,"id":1}', "result", ""],
  ['{"error":{"code":2,"msg":"no"},"id":1}', "error", "2"],
  ['{"code":-1121,"msg":"Invalid symbol."}', "error", "-1121"],
  ['{"error":"no","code":"NOT_FOUND"}', "error", "NOT_FOUND"],
  ['{"error":"no"}', "error", ""],
  ['{"symbol":"BTCUSDT","klines":[]}', "klines", ""],
  ['{"symbol":"BTCUSDT","ticker":{}}', "ticker", ""],
  ['{"c":1}', "ticker", ""],
  ['{"version":"0.1.0"}', "object", ""],
])("%s is %s %s", (text, label, code) => {
  expect(described(text)).toEqual({ label, code });
});

test("close codes are explained as far as the protocol does", () => {
  expect(closeMeaning(4003)).toBe("Nothing was subscribed in time.");
  expect(closeMeaning(4999)).toBe("");
});

test("events come apart wherever the network has cut them", () => {
  const whole = 'retry:5\nid:7\ndata:{"op":"update"}\n\n:\n\ndata: a\ndata:b\n\n';
  const expected = ['retry:5\nid:7\ndata:{"op":"update"}', ":", "data: a\ndata:b"];
  for (let size = 1; size < whole.length; size += 1) {
    const stream = new EventStream();
    const texts = [];
    for (let at = 0; at < whole.length; at += size) texts.push(...stream.take(whole.slice(at, at + size)));
    expect(texts).toEqual(expected);
  }
  expect(expected.map(dataOf)).toEqual(['{"op":"update"}', "", "a\nb"]);
  expect(() => new EventStream().take("x".repeat(8_000_001))).toThrow("8000000");
});

test("JSON is set in lines without touching a digit", () => {
  const text = `{"c":97123.450,"v":1e400,"deep":[{"a":"x, \\"y\\" {"},[],{}],"long":[${"1234567890,".repeat(9)}0]}`;
  const printed = pretty(text);
  expect(printed).toContain('"c": 97123.450');
  expect(printed).toContain('"v": 1e400');
  expect(printed).toContain('"deep": [{"a": "x, \\"y\\" {"}, [], {}]');
  expect(printed).toContain('  "long": [\n    1234567890,');
  expect(printed.replaceAll(/\s/g, "")).toBe(text.replaceAll(/\s/g, ""));
  expect(pretty("[1, 2]")).toBe("[1, 2]");
  expect(pretty("17")).toBe("17");
  expect(pretty("{op:list}")).toBe("{op:list}");
});
