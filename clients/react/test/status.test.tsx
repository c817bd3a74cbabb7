import { act, fireEvent, renderHook } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { FakeSocket } from "../../web/test/fake-socket";
import { ChartSkeleton, ConnectionStatus, useConnection, useDataAge, useKlineService, useKlines } from "../src";
import { frame, gateway, Provided, seconds, show } from "./gateway";

function Chart(): null {
  useKlines("BTCUSDT", "1m");
  return null;
}

test("the connection is looked at and not opened", async () => {
  const page = show(<ConnectionStatus />);
  await seconds(30);
  expect(FakeSocket.all).toEqual([]);
  expect(page.getByRole("status").textContent?.trim()).toBe("Not connected");
});

test("the light is yellow, green, red, with the age of the data, a button, and what it was before", async () => {
  const page = show([<ConnectionStatus key="status" />, <Chart key="chart" />]);
  const level = (): string | undefined => (page.container.firstElementChild as HTMLElement).dataset["level"];
  const text = (): string => page.getByRole("status").textContent?.trim() ?? "";
  await frame();
  expect([level(), text()]).toEqual(["yellow", "Connecting"]);
  await gateway.serve();
  await seconds(2);
  expect([level(), text()]).toEqual(["green", "Live"]);
  expect(page.container.textContent).toContain("2 s ago");
  expect(page.queryByRole("button")).toBeNull();
  await seconds(9);
  expect([level(), text()]).toEqual(["yellow", "Delayed"]);
  act(() => FakeSocket.last.say({ op: "status", channels: { 1: "stale" }, reason: "redis", since: Date.now() }));
  await seconds(1);
  expect(text()).toBe("Source delayed");
  vi.mocked(Math.random).mockReturnValue(0.9);
  FakeSocket.last.end();
  await frame();
  expect([level(), text()]).toEqual(["yellow", "Reconnecting"]);
  fireEvent.click(page.getByRole("button"));
  expect(FakeSocket.all).toHaveLength(2);
  FakeSocket.last.end(1008);
  await frame();
  expect([level(), text()]).toEqual(["red", "Refused"]);
  const history = page.getAllByRole("listitem", { hidden: true }).map((item) => item.dataset["level"]);
  expect(history).toEqual(["red", "yellow", "yellow", "yellow", "green", "yellow"]);
});

test("the words may be others", async () => {
  const words = { live: "En direct", age: (seconds: number) => `il y a ${seconds} s` };
  const page = show([<ConnectionStatus key="status" className="mine" words={words} />, <Chart key="chart" />]);
  await gateway.serve();
  await seconds(1);
  expect(page.container.querySelector(".mine")?.textContent).toContain("En direct");
  expect(page.container.textContent).toContain("il y a 1 s");
});

test("the hook tells the connection, and keeps its identity while nothing has changed", async () => {
  const { rerender, result } = renderHook(() => useConnection(), { wrapper: Provided });
  const first = result.current;
  rerender();
  expect(result.current).toBe(first);
  expect(first).toMatchObject({ phase: "idle", throttled: null, intervalMs: null, history: [] });
  gateway.service.stream.onConnection(() => {});
  FakeSocket.last.hello();
  await frame();
  expect(result.current).toMatchObject({ phase: "open", level: "green", intervalMs: 50 });
  FakeSocket.last.say({ op: "throttle", interval_ms: 200, reason: "load" });
  await frame();
  expect(result.current).toMatchObject({ throttled: "load", intervalMs: 200 });
});

test("the age counts seconds, and the service is at hand", async () => {
  const { result } = renderHook(() => [useDataAge(), useKlineService()] as const, { wrapper: Provided });
  expect(result.current).toEqual([null, gateway.service]);
  gateway.service.stream.onConnection(() => {});
  FakeSocket.last.hello();
  await seconds(4);
  expect(result.current[0]).toBe(4);
});

test("a skeleton takes the chart's room and says what it is", () => {
  const page = show(<ChartSkeleton height={300} label="BTCUSDT is loading" />);
  expect(page.getByRole("status", { name: "BTCUSDT is loading" }).style.height).toBe("300px");
});
