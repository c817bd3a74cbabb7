// The layout: which markets are in the four charts, and which part a phone shows.

import { fetchMarkets, type Markets } from "kline-gateway-client";
import { type ReactElement, useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { ConnectionStatus, useKlineService } from "../../src";
import { expose, rendered } from "./counts";
import { Panel } from "./panel";
import { Watchlist } from "./watchlist";

const FIRST = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"];
const RETRY_MS = 2_000;
const PHONE = "(width < 700px)";

export function Terminal({ gateway }: { readonly gateway: string }): ReactElement {
  rendered("Terminal");
  const { stream } = useKlineService();
  useEffect(() => expose(stream), [stream]);
  const markets = useMarkets(gateway);
  const [symbols, setSymbols] = useState<readonly string[]>(FIRST);
  /** The chart that the next market goes to. */
  const [active, setActive] = useState(0);
  const [view, setView] = useState<"charts" | "watchlist">("charts");
  const phone = useMedia(PHONE);
  const choose = useCallback(
    (symbol: string) => {
      setSymbols((shown) => shown.with(active, symbol));
      setView("charts");
    },
    [active],
  );
  return (
    <div className="terminal">
      <header>
        <Mark />
        <h1>Terminal</h1>
        <nav aria-label="View">
          {(["charts", "watchlist"] as const).map((name) => (
            <button key={name} type="button" aria-pressed={view === name} onClick={() => setView(name)}>
              {name === "charts" ? "Charts" : "Watchlist"}
            </button>
          ))}
        </nav>
        <ConnectionStatus className="connection" />
      </header>
      <main>
        {(!phone || view === "watchlist") && (
          <Watchlist symbols={markets?.symbols ?? FIRST} chosen={symbols[active] ?? ""} choose={choose} />
        )}
        {(!phone || view === "charts") && (
          <div className="charts">
            {symbols.map((symbol, index) => (
              <Panel
                // biome-ignore lint/suspicious/noArrayIndexKey: a panel is its place; the market in it changes.
                key={index}
                index={index}
                symbol={symbol}
                intervals={markets?.intervals ?? ["1m"]}
                active={index === active}
                activate={setActive}
              />
            ))}
          </div>
        )}
      </main>
    </div>
  );
}

function Mark(): ReactElement {
  return (
    <svg className="mark" width="20" height="20" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d="M3 8h4v7h-4zM4.5 5h1v13h-1z" />
      <path d="M12 4h4v8h-4zM13.5 1h1v14h-1z" />
    </svg>
  );
}

/** What the gateway serves; `null`: not known yet. */
function useMarkets(gateway: string): Markets | null {
  const [markets, setMarkets] = useState<Markets | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let left = false;
    const read = async (): Promise<void> => {
      const found = await fetchMarkets(gateway).catch(() => null);
      if (left) return;
      if (found !== null && found.symbols.length > 0) setMarkets(found);
      else timer = setTimeout(read, RETRY_MS);
    };
    void read();
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [gateway]);
  return markets;
}

/** What a phone does not show it does not subscribe to either. */
function useMedia(query: string): boolean {
  const media = matchMedia(query);
  return useSyncExternalStore(
    useCallback(
      (changed) => {
        const list = matchMedia(query);
        list.addEventListener("change", changed);
        return () => list.removeEventListener("change", changed);
      },
      [query],
    ),
    () => media.matches,
  );
}
