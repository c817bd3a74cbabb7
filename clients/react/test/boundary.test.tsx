import { act, fireEvent, render } from "@testing-library/react";
import type { ReactElement } from "react";
import { expect, test, vi } from "vitest";
import { FakeSocket } from "../../web/test/fake-socket";
import { KlineProvider, MarketDataBoundary, MarketDataError, useClosedKlines, useKlines, useTicker } from "../src";
import { complaints, frame, gateway, seconds, show } from "./gateway";

function Count({ symbol }: { readonly symbol: string }): ReactElement {
  return <p>{`${useClosedKlines(symbol, "1m").length} klines`}</p>;
}

/** React tells the console of every error, taken or not. */
function errorsExpected(): void {
  expect(complaints).not.toEqual([]);
  complaints.length = 0;
}

test("a market that is not served shows the gateway's words, and other components go on", async () => {
  const page = show([
    <MarketDataBoundary key="one">
      <Count symbol="NOSUCH" />
    </MarketDataBoundary>,
    <MarketDataBoundary key="other">
      <Count symbol="BTCUSDT" />
    </MarketDataBoundary>,
  ]);
  await gateway.serve();
  expect(page.getByRole("alert").textContent).toBe("Unknown symbol NOSUCH.Try again");
  expect(page.getByText("2 klines")).toBeDefined();
  errorsExpected();
  await frame();
  expect(gateway.commands()).toEqual(["unsubscribe kline:NOSUCH:1m"]);
  fireEvent.click(page.getByRole("button"));
  expect(page.queryByRole("alert")).toBeNull();
  await frame();
  expect(gateway.commands()).toEqual(["subscribe kline:NOSUCH:1m"]);
});

test("what is shown instead is the page's choice, and knows code and market", async () => {
  const page = show(
    <MarketDataBoundary
      fallback={({ error }) => (
        <b>{error instanceof MarketDataError && `${error.code} ${error.symbol} ${error.interval}`}</b>
      )}
    >
      <Count symbol="NOSUCH" />
    </MarketDataBoundary>,
  );
  await gateway.serve();
  expect(page.container.textContent).toBe("INVALID_SYMBOL NOSUCH 1m");
  errorsExpected();
});

test("a ticker that is not served is an error as well", async () => {
  function Price(): ReactElement {
    return <p>{useTicker("NOSUCH").ticker?.c}</p>;
  }
  const page = show(
    <MarketDataBoundary>
      <Price />
    </MarketDataBoundary>,
  );
  await gateway.serve();
  expect(page.getByRole("alert")).toBeDefined();
  errorsExpected();
});

test("without a boundary the error is the component's to look at", async () => {
  function Own(): ReactElement {
    const { error, status } = useKlines("NOSUCH", "1m");
    return <p>{`${error?.code} ${status.level} ${status.why}`}</p>;
  }
  const page = show(<Own />);
  await gateway.serve();
  expect(page.container.textContent).toBe("INVALID_SYMBOL red failed");
});

test("a refused connection is an error where there is nothing to show, and trying again connects", async () => {
  const page = show(
    <MarketDataBoundary>
      <Count symbol="BTCUSDT" />
    </MarketDataBoundary>,
  );
  act(() => FakeSocket.last.end(1008));
  await frame();
  expect(page.getByRole("alert").textContent).toContain("The gateway refused the connection.");
  errorsExpected();
  fireEvent.click(page.getByRole("button"));
  expect(FakeSocket.all).toHaveLength(2);
  await gateway.serve();
  expect(page.getByText("2 klines")).toBeDefined();
  // What is on the screen stays.
  act(() => FakeSocket.last.end(1008));
  await frame();
  expect(page.getByText("2 klines")).toBeDefined();
});

test("one boundary's retry is for all that show an error, and a connection that opens ends what refused it", async () => {
  const page = show(
    ["BTCUSDT", "ETHUSDT"].map((symbol) => (
      <MarketDataBoundary key={symbol}>
        <Count symbol={symbol} />
      </MarketDataBoundary>
    )),
  );
  act(() => FakeSocket.last.end(1008));
  await frame();
  expect(page.getAllByRole("alert")).toHaveLength(2);
  fireEvent.click(page.getAllByRole("button")[1] as HTMLElement);
  await gateway.serve();
  expect(page.getAllByText("2 klines")).toHaveLength(2);
  page.unmount();
  await seconds(11);
  errorsExpected();
  // As when the machine wakes up: nobody presses a button.
  const again = show(
    <MarketDataBoundary>
      <Count symbol="SOLUSDT" />
    </MarketDataBoundary>,
  );
  act(() => FakeSocket.last.end(1008));
  await frame();
  expect(again.getByRole("alert")).toBeDefined();
  act(() => gateway.service.check());
  await frame();
  expect(again.getByRole("alert")).toBeDefined();
  act(() => FakeSocket.last.hello());
  await frame();
  expect(again.queryByRole("alert")).toBeNull();
  await gateway.serve();
  expect(again.getByText("2 klines")).toBeDefined();
  errorsExpected();
});

test("an error of one gateway is none of another's, and one that shows it listens no longer than that", async () => {
  const page = (url: string): ReactElement => (
    <KlineProvider url={url} options={{ WebSocket: FakeSocket }}>
      <MarketDataBoundary>
        <Count symbol="BTCUSDT" />
      </MarketDataBoundary>
    </KlineProvider>
  );
  const { getByRole, rerender, queryByRole } = render(page("http://one"));
  act(() => FakeSocket.last.end(1008));
  await frame();
  expect(getByRole("alert")).toBeDefined();
  rerender(page("http://two"));
  expect(queryByRole("alert")).toBeNull();
  expect(FakeSocket.all.map(({ url }) => url)).toEqual(["ws://one/v1/stream", "ws://two/v1/stream"]);
  errorsExpected();
});

test("an environment without a WebSocket says so", async () => {
  vi.stubGlobal("WebSocket", undefined);
  const page = show(
    <KlineProvider url="http://gateway">
      <MarketDataBoundary>
        <Count symbol="BTCUSDT" />
      </MarketDataBoundary>
    </KlineProvider>,
  );
  expect(page.getByRole("alert").textContent).toContain("There is no WebSocket in this environment");
  errorsExpected();
  vi.unstubAllGlobals();
});

test("what is thrown may be no error at all", () => {
  function Odd(): ReactElement {
    throw "odd";
  }
  const page = show(
    <MarketDataBoundary>
      <Odd />
    </MarketDataBoundary>,
  );
  expect(page.getByRole("alert").textContent).toContain("odd");
  errorsExpected();
});
