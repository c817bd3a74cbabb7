// @vitest-environment node
import type { KlinesAnswer } from "kline-gateway-client";
import { renderToString } from "react-dom/server";
import { expect, test, vi } from "vitest";
import { forming, kline } from "../../web/test/builders";
import { ChartSkeleton, ConnectionStatus, KlineProvider, MarketDataBoundary } from "../src";
import { Page } from "./page";

test("a server without a window and a WebSocket renders everything, and connects to nothing", () => {
  vi.stubGlobal("WebSocket", undefined);
  expect(typeof globalThis.window).toBe("undefined");
  const html = renderToString(
    <KlineProvider url="/">
      <ConnectionStatus />
      <MarketDataBoundary>
        <ChartSkeleton />
        <Page />
      </MarketDataBoundary>
    </KlineProvider>,
  );
  expect(html).toContain("Not connected");
  expect(html).toContain("0 closed, forming none, ticker none, 0 tickers, age none");
});

test("a server renders what it has fetched", () => {
  const answer: KlinesAnswer = { symbol: "BTCUSDT", interval: "1m", klines: [kline(1), forming(2)], stale: false };
  const html = renderToString(
    <KlineProvider url="/" initial={[answer]}>
      <Page />
    </KlineProvider>,
  );
  expect(html).toContain("1 closed, forming 11, ticker none, 0 tickers, age none");
});
