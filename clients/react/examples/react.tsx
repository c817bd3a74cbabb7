// The hooks and the chart in one small page: the last closed klines, the forming one, and a choice of two markets.

import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { ConnectionStatus, KlineProvider, MarketDataBoundary, useClosedKlines, useKlines } from "../src";
import { KlineChart } from "../src/chart";

const query = new URLSearchParams(location.search);
const first = query.get("symbol") ?? "BTCUSDT";
const interval = query.get("interval") ?? "1m";

function Closed({ symbol }: { readonly symbol: string }) {
  const closed = useClosedKlines(symbol, interval);
  return (
    <ol id="klines">
      {closed.slice(-5).map((kline) => (
        <li key={kline.openTime} data-time={kline.openTime}>
          {new Date(kline.openTime).toISOString().slice(11, 19)} {kline.close}
        </li>
      ))}
    </ol>
  );
}

function Price({ symbol }: { readonly symbol: string }) {
  const { forming, status } = useKlines(symbol, interval);
  return (
    <p>
      <span id="status">{status.level}</span> <b id="price">{forming?.close}</b>
    </p>
  );
}

function Example() {
  const [symbol, choose] = useState(first);
  return (
    <>
      <ConnectionStatus />
      {[first, "ETHUSDT", "NOSUCHUSDT"].map((name) => (
        <button key={name} id={name} type="button" onClick={() => choose(name)}>
          {name}
        </button>
      ))}
      <MarketDataBoundary key={symbol}>
        <Price symbol={symbol} />
        <Closed symbol={symbol} />
        <KlineChart
          symbol={symbol}
          interval={interval}
          height={400}
          // For the tests: what the chart itself holds.
          onReady={({ candles }) => Object.assign(window, { example: { market: symbol, bars: () => candles.data() } })}
        />
      </MarketDataBoundary>
    </>
  );
}

createRoot(document.querySelector("#root") as HTMLElement).render(
  <StrictMode>
    <KlineProvider url="/">
      <Example />
    </KlineProvider>
  </StrictMode>,
);
