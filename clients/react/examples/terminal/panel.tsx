// One chart with its market, its price and a choice of intervals.

import { memo, type ReactElement, useState } from "react";
import { MarketDataBoundary, useClosedKlines, useFormingKline } from "../../src";
import { KlineChart } from "../../src/chart";
import { rendered } from "./counts";
import { price } from "./format";

export interface PanelProps {
  readonly index: number;
  readonly symbol: string;
  readonly intervals: readonly string[];
  /** The next market that is chosen goes here. */
  readonly active: boolean;
  readonly activate: (index: number) => void;
}

export const Panel = memo(function Panel({ index, symbol, intervals, active, activate }: PanelProps): ReactElement {
  rendered("Panel");
  const [interval, setInterval] = useState("1m");
  return (
    <section className="panel" data-active={active} aria-label={`Chart ${index + 1}`}>
      <header>
        <button type="button" aria-pressed={active} onClick={() => activate(index)}>
          {symbol}
        </button>
        <MarketDataBoundary key={`${symbol} ${interval}`} fallback={() => null}>
          <Price symbol={symbol} interval={interval} />
          <Range symbol={symbol} interval={interval} />
        </MarketDataBoundary>
        <select
          aria-label={`Interval of chart ${index + 1}`}
          value={interval}
          onChange={(event) => setInterval(event.target.value)}
        >
          {intervals.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </header>
      <MarketDataBoundary key={`${symbol}:${interval}`}>
        <KlineChart className="chart" symbol={symbol} interval={interval} />
      </MarketDataBoundary>
    </section>
  );
});

interface MarketProps {
  readonly symbol: string;
  readonly interval: string;
}

function Price({ symbol, interval }: MarketProps): ReactElement {
  rendered("Price");
  return <output className="number">{price(useFormingKline(symbol, interval)?.close)}</output>;
}

/** The lowest and highest price of the closed klines: it renders when one closes. */
function Range({ symbol, interval }: MarketProps): ReactElement {
  rendered("Range");
  const closed = useClosedKlines(symbol, interval);
  const low = closed.reduce((least, kline) => Math.min(least, kline.low), Number.POSITIVE_INFINITY);
  const high = closed.reduce((most, kline) => Math.max(most, kline.high), 0);
  return <span className="range number">{closed.length > 0 && `${price(low)} – ${price(high)}`}</span>;
}
