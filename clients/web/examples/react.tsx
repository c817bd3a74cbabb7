import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { useKlines } from "../src/react/use-klines.ts";
import { interval, service, symbol } from "./shared.ts";

function LastBars({ symbol }: { readonly symbol: string }) {
  const { klines, status } = useKlines(service, symbol, interval);
  return (
    <section>
      <p id="status">{status === null ? "…" : status.level}</p>
      <p id="count">{klines.length}</p>
      <ol id="klines">
        {klines.slice(-5).map((kline) => (
          <li key={kline.openTime} data-time={kline.openTime}>
            {new Date(kline.openTime).toISOString().slice(11, 19)} {kline.close}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Example() {
  const [chosen, choose] = useState(symbol);
  return (
    <>
      {[symbol, "ETHUSDT"].map((name) => (
        <button key={name} id={name} type="button" onClick={() => choose(name)}>
          {name}
        </button>
      ))}
      <LastBars symbol={chosen} />
    </>
  );
}

createRoot(document.querySelector("#root") as HTMLElement).render(
  <StrictMode>
    <Example />
  </StrictMode>,
);
