// For charts that load history themselves and take updates bar by bar: joins the two without a gap.

import type { Kline, KlineDataService } from "../client/index.ts";

export interface Followed {
  readonly symbol: string;
  readonly interval: string;
  readonly history: number;
  /** Open time of the newest bar the chart has loaded, ms; `null`: it has none. */
  readonly given: number | null;
}

/**
 * Pushes the bars that the chart does not have yet, then every bar in order; returns a function that stops it. Calls
 * `reset`, never synchronously, if no push can update the chart: history has changed, or there is a gap after its last
 * bar.
 */
export function follow(
  service: KlineDataService,
  { symbol, interval, history, given }: Followed,
  push: (bar: Kline) => void,
  reset: () => void,
): () => void {
  let shown = given;
  let joined = false;
  let stopped = false;
  const take = (bar: Kline): void => {
    shown = bar.openTime;
    push(bar);
  };
  const stop = service.subscribe(symbol, interval, take, undefined, {
    history,
    onReset: (bars) => {
      const [first, last] = [bars[0], bars.at(-1)];
      if (first === undefined || last === undefined) return;
      const newest = shown;
      if (!joined && newest !== null && first.openTime <= newest) {
        for (const bar of bars) if (bar.openTime >= newest) take(bar);
      } else {
        shown = last.openTime;
        // A chart that is reset while it still subscribes loses its history.
        queueMicrotask(() => {
          if (!stopped) reset();
        });
      }
      joined = true;
    },
  });
  return () => {
    stopped = true;
    stop();
  };
}
