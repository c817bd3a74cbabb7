import { render } from "@testing-library/react";
import type { KlinesAnswer } from "kline-gateway-client";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { ConnectionStatus, KlineProvider } from "../src";
import { forming, gateway, kline, seconds } from "./gateway";
import { Page } from "./page";

test("a page takes over what a server has rendered without a difference, and goes on from it", async () => {
  const answer: KlinesAnswer = { symbol: "BTCUSDT", interval: "1m", klines: [kline(1), forming(2)], stale: false };
  const page = (
    <KlineProvider service={gateway.service} initial={[answer]}>
      <ConnectionStatus />
      <Page />
    </KlineProvider>
  );
  const container = document.createElement("div");
  container.innerHTML = renderToString(page);
  document.body.append(container);
  expect(container.textContent).toContain("1 closed, forming 11");
  const { unmount } = render(page, { container, hydrate: true });
  expect(container.textContent).toContain("1 closed, forming 11");
  await gateway.serve();
  await seconds(1);
  // A difference would have been told to the console, where nothing may be.
  expect(container.textContent).toContain("2 closed, forming 11, ticker 10, 2 tickers, age 1");
  unmount();
  container.remove();
});
