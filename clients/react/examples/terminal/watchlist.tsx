// All markets with their prices. Each row reads its own ticker, so that a price renders one row.

import { memo, type ReactElement, useState } from "react";
import { type Prefetch, usePrefetch, useTicker } from "../../src";
import { rendered } from "./counts";
import { percent, price } from "./format";

export interface WatchlistProps {
  readonly symbols: readonly string[];
  readonly chosen: string;
  readonly choose: (symbol: string) => void;
}

export const Watchlist = memo(function Watchlist({ symbols, chosen, choose }: WatchlistProps): ReactElement {
  rendered("Watchlist");
  const [search, setSearch] = useState("");
  const prefetch = usePrefetch(symbols);
  const shown = symbols.filter((symbol) => symbol.includes(search.trim().toUpperCase()));
  return (
    <section className="watchlist" aria-label="Watchlist">
      <input
        type="search"
        aria-label="Search a market"
        placeholder={`Search ${symbols.length} markets`}
        value={search}
        onChange={(event) => setSearch(event.target.value)}
      />
      <div className="heads" aria-hidden="true">
        <span>Market</span>
        <span className="number">Price</span>
        <span className="number">24 h</span>
      </div>
      <ul>
        {shown.map((symbol) => (
          <Row key={symbol} symbol={symbol} chosen={symbol === chosen} choose={choose} hint={prefetch.hint} />
        ))}
      </ul>
    </section>
  );
});

interface RowProps {
  readonly symbol: string;
  readonly chosen: boolean;
  readonly choose: (symbol: string) => void;
  readonly hint: Prefetch["hint"];
}

const Row = memo(function Row({ symbol, chosen, choose, hint }: RowProps): ReactElement {
  rendered("Row");
  // The row shows two figures of the ticker; a change of the others does not render it.
  const { last, change } = useTicker(symbol, ({ ticker }) => ({ last: ticker?.c, change: ticker?.P }));
  return (
    <li>
      <button
        type="button"
        aria-pressed={chosen}
        onClick={() => choose(symbol)}
        onPointerEnter={() => hint(symbol, "1m")}
      >
        <span className="name">{symbol}</span>
        <span className="number">{price(last)}</span>
        <span className="number" data-rising={change === undefined ? undefined : change >= 0}>
          {percent(change)}
        </span>
      </button>
    </li>
  );
});
