// A React hook: the klines of one series, live, and their status.

import { useEffect, useState } from "react";
import type { Kline, KlineDataService, SeriesStatus } from "../client/index.ts";

export interface Klines {
  readonly klines: readonly Kline[];
  /** `null`: no status yet. */
  readonly status: SeriesStatus | null;
}

const NOTHING: Klines = { klines: [], status: null };

/** Components that use the same series share one subscription; the last one to unmount ends it. */
export function useKlines(service: KlineDataService, symbol: string, interval: string, history = 100): Klines {
  const [klines, setKlines] = useState(NOTHING);
  useEffect(() => {
    const stop = service.subscribe(
      symbol,
      interval,
      (kline) => setKlines(({ klines, status }) => ({ klines: withBar(klines, kline), status })),
      (status) => setKlines(({ klines }) => ({ klines, status })),
      { history, onReset: (klines) => setKlines(({ status }) => ({ klines, status })) },
    );
    return () => {
      stop();
      setKlines(NOTHING);
    };
  }, [service, symbol, interval, history]);
  return klines;
}

function withBar(klines: readonly Kline[], kline: Kline): readonly Kline[] {
  const same = klines.at(-1)?.openTime === kline.openTime;
  return [...(same ? klines.slice(0, -1) : klines), kline];
}
