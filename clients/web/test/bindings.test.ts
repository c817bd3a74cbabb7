import { derived } from "svelte/store";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { effectScope, ref, watchSyncEffect } from "vue";
import { svelteStore } from "../src/bindings/svelte";
import { useReadable } from "../src/bindings/vue";
import { KlineDataService } from "../src/client";
import { MarketStore } from "../src/store";
import { FRAME_MS } from "../src/store/frames";
import { FakeSocket } from "./fake-socket";

const SYMBOLS = ["BTCUSDT", "ETHUSDT"];

let service: KlineDataService;
let market: MarketStore;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("window", globalThis);
  FakeSocket.all = [];
  service = new KlineDataService({ url: "http://gateway/", WebSocket: FakeSocket });
  market = new MarketStore(service);
});

afterEach(() => {
  service.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** Greets, numbers the tickers in the order of `SYMBOLS`, and gives each a price. */
async function serve(prices: Record<number, number>): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
  if (service.stream.info.phase === "connecting") FakeSocket.last.hello();
  for (const { id } of FakeSocket.last.take().filter(({ op }) => op === "subscribe")) {
    const channels = Object.fromEntries(SYMBOLS.map((symbol, index) => [`ticker:${symbol}`, { n: index + 1 }]));
    FakeSocket.last.say({ op: "subscribed", id, channels });
  }
  for (const [n, c] of Object.entries(prices)) {
    FakeSocket.last.say({
      op: "snapshot",
      n: Number(n),
      channel: `ticker:${SYMBOLS[Number(n) - 1]}`,
      ticker: { c },
      state: "live",
    });
  }
  await vi.advanceTimersByTimeAsync(FRAME_MS);
}

const commands = async (): Promise<unknown[]> => {
  await vi.advanceTimersByTimeAsync(0);
  return FakeSocket.last.take().map(({ op, channels }) => [op, channels]);
};

test("Svelte reads a value as a store, until nobody does", async () => {
  const price = derived(svelteStore(market.ticker("BTCUSDT")), ({ ticker }) => ticker?.c);
  const prices: unknown[] = [];
  const stop = price.subscribe((value) => prices.push(value));
  await serve({ 1: 10 });
  expect(prices).toEqual([undefined, 10]);
  stop();
  expect(await commands()).toEqual([["unsubscribe", ["ticker:BTCUSDT"]]]);
});

test("Vue reads a value as a reference, follows another one, and stops with its scope", async () => {
  const symbol = ref("BTCUSDT");
  const prices: unknown[] = [];
  const scope = effectScope();
  scope.run(() => {
    const state = useReadable(() => market.ticker(symbol.value));
    watchSyncEffect(() => prices.push(state.value.ticker?.c));
  });
  await serve({ 1: 10 });
  expect(prices).toEqual([undefined, 10]);
  symbol.value = "ETHUSDT";
  await serve({ 2: 20 });
  expect(prices).toEqual([undefined, 10, undefined, 20]);
  scope.stop();
  expect(await commands()).toEqual([["unsubscribe", ["ticker:ETHUSDT"]]]);
});

test("on a server both have the initial value, and connect to nothing", () => {
  vi.stubGlobal("window", undefined);
  const values: unknown[] = [];
  svelteStore(market.ticker("BTCUSDT")).subscribe(({ ticker }) => values.push(ticker))();
  values.push(useReadable(market.ticker("BTCUSDT")).value.ticker);
  expect(values).toEqual([null, null]);
  expect(FakeSocket.all).toEqual([]);
});
