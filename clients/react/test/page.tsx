// One component that reads everything, for the tests of rendering on a server and taking over from it.

import type { ReactElement } from "react";
import { useDataAge, useKlines, useTicker, useTickers } from "../src";

export function Page(): ReactElement {
  const { closed, forming } = useKlines("BTCUSDT", "1m");
  const { ticker } = useTicker("BTCUSDT");
  const tickers = useTickers(["BTCUSDT", "ETHUSDT"]);
  const known = [...tickers.values()].filter((state) => state.ticker !== null).length;
  const said = `${closed.length} closed, forming ${forming?.close ?? "none"}, ticker ${ticker?.c ?? "none"}`;
  return <p>{`${said}, ${known} tickers, age ${useDataAge() ?? "none"}`}</p>;
}
