// A React hook: the bars of one series, live, and how far to trust them.

import { useEffect, useState } from "react";
import type { Kline, KlineDataService, SeriesStatus } from "../client/index.ts";

export interface Klines {
  readonly bars: readonly Kline[];
  /** `null`: nothing is known yet. */
  readonly status: SeriesStatus | null;
}

const NOTHING: Klines = { bars: [], status: null };

/** Components that ask for the same series share one subscription; the last one to go ends it. */
export function useKlines(service: KlineDataService, symbol: string, interval: string, history = 100): Klines {
  const [klines, setKlines] = useState(NOTHING);
  useEffect(() => {
    const stop = service.subscribe(
      symbol,
      interval,
      (bar) => setKlines(({ bars, status }) => ({ bars: withBar(bars, bar), status })),
      (status) => setKlines(({ bars }) => ({ bars, status })),
      { history, onReset: (bars) => setKlines(({ status }) => ({ bars, status })) },
    );
    return () => {
      stop();
      setKlines(NOTHING);
    };
  }, [service, symbol, interval, history]);
  return klines;
}

function withBar(bars: readonly Kline[], bar: Kline): readonly Kline[] {
  const same = bars.at(-1)?.openTime === bar.openTime;
  return [...(same ? bars.slice(0, -1) : bars), bar];
}
