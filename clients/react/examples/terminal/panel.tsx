// One chart with its market, its price and a choice of intervals.

import { memo, type ReactElement, useState } from "react";
import { MarketDataBoundary, useClosedKlines, useKlines, useTicker } from "../../src";
import { KlineChart } from "../../src/chart";
import { rendered } from "./counts";
import { percent, price } from "./format";

/** On a phone a finger that goes up or down scrolls the page. */
const OPTIONS = {
  handleScroll: { vertTouchDrag: false },
  rightPriceScale: { borderVisible: false },
  timeScale: { borderVisible: false, rightOffset: 4 },
};

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
          <Change symbol={symbol} />
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
        <KlineChart className="chart" symbol={symbol} interval={interval} options={OPTIONS} />
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
  const { close, rising } = useKlines(symbol, interval, {
    select: ({ forming, closed }) => {
      const last = forming ?? closed.at(-1);
      return { close: last?.close, rising: last === undefined ? undefined : last.close >= last.open };
    },
  });
  return (
    <output className="price number" data-rising={rising}>
      {price(close)}
    </output>
  );
}

/** In 24 hours. */
function Change({ symbol }: { readonly symbol: string }): ReactElement {
  rendered("Change");
  const change = useTicker(symbol, ({ ticker }) => ticker?.P);
  return (
    <span className="number" data-rising={change === undefined ? undefined : change >= 0}>
      {percent(change)}
    </span>
  );
}

/** The lowest and highest price of the closed klines: it renders when one closes. */
function Range({ symbol, interval }: MarketProps): ReactElement {
  rendered("Range");
  const closed = useClosedKlines(symbol, interval);
  const low = closed.reduce((least, kline) => Math.min(least, kline.low), Number.POSITIVE_INFINITY);
  const high = closed.reduce((most, kline) => Math.max(most, kline.high), 0);
  return <span className="range number">{closed.length > 0 && `L ${price(low)} · H ${price(high)}`}</span>;
}
