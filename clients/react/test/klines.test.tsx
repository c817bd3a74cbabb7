import { render, renderHook } from "@testing-library/react";
import { type ReactElement, StrictMode } from "react";
import { describe, expect, test } from "vitest";
import { FakeSocket } from "../../web/test/fake-socket";
import { KlineProvider, useClosedKlines, useFormingKline, useKlines, usePrefetch } from "../src";
import { complaints, forming, frame, gateway, kline, Provided, seconds, show } from "./gateway";

const CHANNEL = "kline:BTCUSDT:1m";

let renders: Record<string, number>;

function count(name: string): void {
  renders[name] = (renders[name] ?? 0) + 1;
}

/** What has rendered since the last look. */
function rendered(): Record<string, number> {
  const since = renders;
  renders = {};
  return since;
}

function Closed(): ReactElement {
  const closed = useClosedKlines("BTCUSDT", "1m");
  count("closed");
  return <p data-testid="closed">{closed.map(({ close }) => close).join()}</p>;
}

function Forming(): ReactElement {
  count("forming");
  return <p data-testid="forming">{useFormingKline("BTCUSDT", "1m")?.close}</p>;
}

function Whole(): ReactElement {
  count("whole");
  const { closed, forming, loading, status } = useKlines("BTCUSDT", "1m");
  return <p data-testid="whole">{`${closed.length} ${forming?.close} ${loading} ${status.level}`}</p>;
}

describe("what renders", () => {
  test("is not what shows closed klines, while the forming one changes a hundred times", async () => {
    renders = {};
    const page = show([<Closed key="closed" />, <Forming key="forming" />]);
    await gateway.serve();
    expect(page.getByTestId("closed").textContent).toBe("11,11");
    rendered();
    for (let close = 100; close < 200; close += 1) {
      gateway.say(CHANNEL, { close });
      await frame();
    }
    expect(rendered()).toEqual({ forming: 100 });
    expect(page.getByTestId("forming").textContent).toBe("199");
    gateway.say(CHANNEL, kline(3, { close: 200 }));
    gateway.say(CHANNEL, forming(4, { close: 201 }));
    await frame();
    expect(rendered()).toEqual({ closed: 1, forming: 1 });
    expect(page.getByTestId("closed").textContent).toBe("11,11,200");
  });

  test("renders once a frame, however many updates there are", async () => {
    renders = {};
    const page = show(<Whole />);
    expect(page.getByTestId("whole").textContent).toBe("0 undefined true yellow");
    await gateway.serve();
    expect(page.getByTestId("whole").textContent).toBe("2 11 false green");
    rendered();
    for (let close = 0; close < 500; close += 1) gateway.say(CHANNEL, { close });
    expect(rendered()).toEqual({});
    await frame();
    expect(rendered()).toEqual({ whole: 1 });
    expect(page.getByTestId("whole").textContent).toBe("2 499 false green");
    await frame(10);
    expect(rendered()).toEqual({});
  });

  test("is not what selects something that has not changed, also where the selector is a new one each time", async () => {
    renders = {};
    function Color(): ReactElement {
      count("color");
      const { rising } = useKlines("BTCUSDT", "1m", {
        select: ({ forming }) => ({ rising: (forming?.close ?? 0) >= (forming?.open ?? 0) }),
      });
      return <p data-testid="color">{String(rising)}</p>;
    }
    const page = show(<Color />);
    await gateway.serve();
    rendered();
    for (const close of [12, 13, 14]) {
      gateway.say(CHANNEL, { close });
      await frame();
    }
    expect(rendered()).toEqual({});
    gateway.say(CHANNEL, { close: 5 });
    await frame();
    expect(rendered()).toEqual({ color: 1 });
    expect(page.getByTestId("color").textContent).toBe("false");
    page.rerender(<Color />);
    gateway.say(CHANNEL, { close: 4 });
    await frame();
    expect(rendered()).toEqual({ color: 1 });
  });
});

describe("the closed klines", () => {
  test("are the same list until one closes, and the newest of those that others ask for", async () => {
    const { result } = renderHook(
      () => [useKlines("BTCUSDT", "1m", { history: 1 }), useKlines("BTCUSDT", "1m")] as const,
      { wrapper: Provided },
    );
    await gateway.serve();
    const [one, all] = result.current;
    expect([one.closed, all.closed]).toEqual([[kline(2)], [kline(1), kline(2)]]);
    gateway.say(CHANNEL, { close: 1 });
    await frame();
    expect(result.current[0].closed).toBe(one.closed);
    expect(result.current[1].closed).toBe(all.closed);
    expect(result.current[0].forming).toBe(result.current[1].forming);
    gateway.say(CHANNEL, kline(3));
    await frame();
    expect(result.current.map(({ closed }) => closed.length)).toEqual([1, 3]);
    expect(result.current[0].closed).toEqual([kline(3)]);
  });

  test("are one list for all components that ask for as many", async () => {
    const lists = new Set();
    function List(): null {
      lists.add(useClosedKlines("BTCUSDT", "1m", { history: 1 }));
      return null;
    }
    show([<List key={1} />, <List key={2} />, <List key={3} />]);
    await gateway.serve();
    expect([...lists]).toEqual([[], [kline(2)]]);
  });
});

describe("subscriptions", () => {
  test("are shared, and end with the last component that needs them", async () => {
    const page = show([<Closed key="closed" />, <Forming key="forming" />, <Whole key="whole" />]);
    await gateway.serve();
    page.rerender([<Closed key="closed" />]);
    await frame();
    expect(gateway.commands()).toEqual([]);
    page.unmount();
    await frame();
    expect(gateway.commands()).toEqual([`unsubscribe ${CHANNEL}`]);
    await seconds(30);
    expect(FakeSocket.last.closed).toBe(true);
    expect(gateway.service.stream.info.phase).toBe("idle");
  });

  test("are not doubled in StrictMode, which mounts everything twice", async () => {
    const page = show(
      <StrictMode>
        <Closed />
        <Whole />
      </StrictMode>,
    );
    FakeSocket.last.hello();
    await frame();
    expect(FakeSocket.all).toHaveLength(1);
    expect(gateway.commands()).toEqual([`subscribe ${CHANNEL}`]);
    page.unmount();
    await frame();
    expect(gateway.commands()).toEqual([`unsubscribe ${CHANNEL}`]);
  });

  test("follow the market that is chosen", async () => {
    const { rerender, result } = renderHook(({ symbol }) => useKlines(symbol, "1m"), {
      wrapper: Provided,
      initialProps: { symbol: "BTCUSDT" },
    });
    await gateway.serve();
    rerender({ symbol: "ETHUSDT" });
    expect(result.current).toMatchObject({ closed: [], forming: null, loading: true });
    await frame();
    expect(gateway.commands()).toEqual([`unsubscribe ${CHANNEL}`, "subscribe kline:ETHUSDT:1m"]);
    rerender({ symbol: "BTCUSDT" });
    // It is cached: nothing is waited for.
    expect(result.current).toMatchObject({ closed: [kline(1), kline(2)], forming: forming(3), loading: false });
  });

  test("begin anew with another gateway", async () => {
    const page = (url: string) => (
      <KlineProvider url={url} options={{ WebSocket: FakeSocket }}>
        <Whole />
      </KlineProvider>
    );
    const { rerender, unmount } = render(page("http://one"));
    expect(FakeSocket.all.map(({ url }) => url)).toEqual(["ws://one/v1/stream"]);
    rerender(page("http://one"));
    rerender(page("http://two"));
    expect(FakeSocket.all.map(({ url }) => url)).toEqual(["ws://one/v1/stream", "ws://two/v1/stream"]);
    unmount();
    await seconds(30);
    expect(FakeSocket.all.map(({ closed }) => closed)).toEqual([true, true]);
  });
});

test("a market that was fetched in advance shows at once, without a skeleton", async () => {
  const { result } = renderHook(() => usePrefetch(["BTCUSDT", "ETHUSDT"]), { wrapper: Provided });
  const { hint, viewed } = result.current;
  hint("SOLUSDT", "1m");
  await seconds(1);
  viewed("BTCUSDT", "1m");
  await seconds(1);
  expect(gateway.requested).toEqual(["SOLUSDT", "ETHUSDT"]);
  const states: boolean[] = [];
  function Chart(): null {
    states.push(useKlines("SOLUSDT", "1m").loading);
    return null;
  }
  show(<Chart />);
  expect(new Set(states)).toEqual(new Set([false]));
});

test("a component outside of a provider says so", () => {
  expect(() => renderHook(() => useKlines("BTCUSDT", "1m"))).toThrow(
    "There is no <KlineProvider> around this component.",
  );
  complaints.length = 0;
});
