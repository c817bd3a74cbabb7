import type { StreamInfo } from "kline-gateway-client";
import { describe, expect, test } from "vitest";
import { Journal, throttleText } from "../src/page/journal";
import { listed } from "../src/page/order";
import { HEIGHT, sparkPath, sparkQuery, WIDTH } from "../src/page/sparkline";

const info = (over: Partial<StreamInfo> = {}): StreamInfo => ({
  phase: "open",
  lastMessageAt: 1,
  retryAt: null,
  hello: null,
  intervalMs: 60,
  throttled: null,
  clockOffsetMs: 0,
  updates: 0,
  ...over,
});

describe("a sparkline", () => {
  test("spans the box, the highest close at the top", () => {
    expect(sparkPath([1, 3, 2])).toBe(`M0 ${HEIGHT - 2}L${WIDTH / 2} 2L${WIDTH} ${HEIGHT / 2}`);
  });

  test("without movement runs through the middle, and of one point there is none", () => {
    expect(sparkPath([5, 5])).toBe(`M0 ${HEIGHT / 2}L${WIDTH} ${HEIGHT / 2}`);
    expect(sparkPath([5])).toBe("");
  });

  test("is made of the longest interval up to an hour", () => {
    expect(sparkQuery(["1m", "1h", "1d"])).toEqual({ interval: "1h", bars: 24 });
    expect(sparkQuery(["1s", "1m", "5m"])).toEqual({ interval: "5m", bars: 48 });
    expect(sparkQuery(["1s", "1d"])).toBeNull();
  });
});

const known = (symbol: string): number | undefined => ({ BTCUSDT: -2, ETHUSDT: 5, AAAUSDT: 1 })[symbol];

test("markets everybody looks for come first, dollars before other money, the rest by name", () => {
  const symbols = ["ZZZUSDT", "ETHBTC", "BTCUSDC", "ETHUSDT", "AAAUSDT", "BTCUSDT"];
  expect(listed(symbols, { sort: "usual", favourites: [], changeOf: known })).toEqual([
    "BTCUSDT",
    "ETHUSDT",
    "BTCUSDC",
    "AAAUSDT",
    "ETHBTC",
    "ZZZUSDT",
  ]);
});

describe("a list that somebody has ordered", () => {
  const symbols = ["BTCUSDT", "ETHUSDT", "AAAUSDT", "SOLUSDT"];

  test.each([
    ["usual", [], "BTC ETH SOL AAA"],
    ["usual", ["AAAUSDT", "SOLUSDT"], "SOL AAA BTC ETH"],
    ["name", [], "AAA BTC ETH SOL"],
    ["name", ["SOLUSDT"], "SOL AAA BTC ETH"],
    ["rise", [], "ETH AAA BTC SOL"],
    ["fall", [], "BTC AAA ETH SOL"],
    ["fall", ["SOLUSDT", "ETHUSDT"], "ETH SOL BTC AAA"],
  ] as const)("by %s with %o first is %s", (sort, favourites, order) => {
    const found = listed(symbols, { sort, favourites, changeOf: known });
    expect(found.map((symbol) => symbol.slice(0, 3)).join(" ")).toBe(order);
  });
});

describe("the journal", () => {
  const texts = (journal: Journal): string[] => journal.entries.map(({ text }) => text);

  test("tells of connections made, lost, made again and refused, the newest first", () => {
    const journal = new Journal();
    expect(journal.reconnects).toBe(0);
    for (const phase of [
      "connecting",
      "open",
      "open",
      "waiting",
      "connecting",
      "open",
      "refused",
      "refused",
    ] as const) {
      journal.connection(info({ phase }), 7);
    }
    expect(texts(journal)).toEqual(["Refused by the gateway", "Reconnected, resumed", "Connection lost", "Connected"]);
    expect(journal.entries[0]).toMatchObject({ at: 7, level: "red" });
    expect(journal.reconnects).toBe(1);
  });

  test("tells of being served less often, and why, until that is over", () => {
    const journal = new Journal();
    journal.connection(info(), 1);
    journal.connection(info({ throttled: "slow_client", intervalMs: 240 }), 2);
    journal.connection(info({ throttled: "slow_client", intervalMs: 240 }), 3);
    journal.connection(info(), 4);
    expect(texts(journal)).toEqual(["Full speed again", "4 updates a second: this connection is slow", "Connected"]);
    expect(throttleText(info({ throttled: "load", intervalMs: null }))).toBeNull();
    expect(throttleText(info({ throttled: "load", intervalMs: 960 }))).toBe("One update a second: the gateway is busy");
    expect(throttleText(info({ throttled: "load", intervalMs: 4_000 }))).toBe("Few updates: the gateway is busy");
  });

  test("tells of a source that is away, once, and of its return", () => {
    const journal = new Journal();
    for (const reason of ["redis", "redis", null, null, "silent"] as const) {
      journal.channel(reason === null ? { state: "live" } : { state: "stale", reason }, 1);
    }
    expect(texts(journal)).toEqual([
      "The source is silent",
      "The source is back",
      "The gateway's source is disconnected",
    ]);
  });

  test("tells of a symbol that has stopped, and of a source without a known reason", () => {
    const journal = new Journal();
    journal.channel({ state: "stale", reason: "symbol" }, 1);
    journal.channel({ state: "live" }, 2);
    journal.channel({ state: "stale" }, 3);
    expect(texts(journal)).toEqual([
      "The source is silent",
      "The source is back",
      "The source sends no news of this market",
    ]);
  });

  test("keeps the last fifty", () => {
    const journal = new Journal();
    for (let count = 0; count < 60; count += 1) {
      journal.connection(info(), count);
      journal.connection(info({ phase: "waiting" }), count);
    }
    expect(journal.entries.length).toBe(50);
  });
});
