import { renderHook } from "@testing-library/react";
import { memo, type ReactElement } from "react";
import { expect, test } from "vitest";
import { useTicker, useTickers } from "../src";
import { frame, gateway, Provided, show } from "./gateway";

test("a row of a list renders alone, once a frame", async () => {
  const renders: string[] = [];
  const Row = memo(function Row({ symbol }: { readonly symbol: string }): ReactElement {
    renders.push(symbol);
    return <li>{useTicker(symbol).ticker?.c}</li>;
  });
  const symbols = Array.from({ length: 100 }, (_, index) => `COIN${index}USDT`);
  const page = show(symbols.map((symbol) => <Row key={symbol} symbol={symbol} />));
  await gateway.serve();
  expect(page.container.textContent).toBe("10".repeat(100));
  renders.length = 0;
  for (let price = 0; price < 10; price += 1) gateway.say("ticker:COIN7USDT", { c: price });
  gateway.say("ticker:COIN9USDT", { c: 3 });
  await frame();
  expect(renders).toEqual(["COIN7USDT", "COIN9USDT"]);
});

test("a part of a ticker renders when that part changes", async () => {
  let renders = 0;
  const { result } = renderHook(
    () => {
      renders += 1;
      return useTicker("BTCUSDT", ({ ticker }) => ticker?.P ?? 0);
    },
    { wrapper: Provided },
  );
  await gateway.serve({ ticker: { c: 10, P: 1.5 } });
  renders = 0;
  gateway.say("ticker:BTCUSDT", { c: 11 });
  await frame();
  expect([renders, result.current]).toEqual([0, 1.5]);
  gateway.say("ticker:BTCUSDT", { P: 2 });
  await frame();
  expect([renders, result.current]).toEqual([1, 2]);
});

test("several tickers come in the order asked for, and those that have not changed stay the same", async () => {
  let renders = 0;
  const { rerender, result } = renderHook(
    ({ symbols }) => {
      renders += 1;
      return useTickers([...symbols]);
    },
    { wrapper: Provided, initialProps: { symbols: ["ETHUSDT", "BTCUSDT"] } },
  );
  expect(result.current.size).toBe(2);
  await gateway.serve();
  const before = result.current;
  expect([...before.keys()]).toEqual(["ETHUSDT", "BTCUSDT"]);
  renders = 0;
  for (let price = 0; price < 10; price += 1) gateway.say("ticker:BTCUSDT", { c: price });
  await frame();
  expect(renders).toBe(1);
  expect(result.current.get("BTCUSDT")?.ticker?.c).toBe(9);
  expect(result.current.get("ETHUSDT")).toBe(before.get("ETHUSDT"));
  rerender({ symbols: ["ETHUSDT", "BTCUSDT"] });
  await frame();
  expect(gateway.commands()).toEqual([]);
  rerender({ symbols: [] });
  await frame();
  expect(result.current.size).toBe(0);
  expect(gateway.commands()).toEqual(["unsubscribe ticker:ETHUSDT", "unsubscribe ticker:BTCUSDT"]);
});

test("of several tickers a part may be selected", async () => {
  const { result } = renderHook(
    () => useTickers(["ETHUSDT", "BTCUSDT"], (states) => [...states.values()].map(({ ticker }) => ticker?.c)),
    { wrapper: Provided },
  );
  await gateway.serve();
  expect(result.current).toEqual([10, 10]);
});
