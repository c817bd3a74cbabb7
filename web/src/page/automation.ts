// A read-only window into the page for tests and scripts: `window.klineGateway`.
// It reports what the chart itself holds, not what the page passed to it.

import type { CacheStats, Level, StreamInfo, Visit } from "kline-gateway-client";
import type { ShownBar } from "./bars";
import type { ScrollState } from "./scroll";
import type { Shown } from "./selected-market";
import type { View } from "./view";

export interface PageState {
  readonly symbol: string;
  readonly interval: string;
  /** Also `#app[data-view]`. */
  readonly view: View["kind"];
  /** Also `#app[data-level]`. */
  readonly level: Level;
  /** `live`, `stale`, `waiting` or `failed`. */
  readonly channel: string;
  readonly link: StreamInfo["phase"];
  /** Candles in the chart, oldest first; times in ms. */
  readonly bars: readonly ShownBar[];
  readonly openTimes: readonly number[];
  readonly newest: ShownBar | null;
  /** Which part of the past is looked at, and what is loaded of it. */
  readonly scroll: ScrollState;
  /** Open time of the newest closed kline: the resume cursor; 0: none. */
  readonly lastClosed: number;
  readonly lastPrice: number | null;
  /** Updates received since the page was opened. */
  readonly updates: number;
  readonly digits: number;
  /** Where the first candles of this chart came from, and how long after the choice they were drawn. */
  readonly shown: Shown | null;
  /** When the first candles were on the screen, ms since the start of the navigation; `null`: not yet. */
  readonly firstCandlesMs: number | null;
  /** When the chart itself was on the screen, with its scales, and could be moved. */
  readonly firstChartMs: number | null;
  readonly cache: CacheStats;
  /** The markets that were viewed; only scripts in this page can read them. */
  readonly visits: readonly Visit[];
  readonly intervalMs: number | null;
}

declare global {
  interface Window {
    readonly klineGateway: PageState;
  }
}

/** `read` returns the current state. */
export function expose(read: () => Omit<PageState, "openTimes" | "newest" | "firstCandlesMs">): void {
  Object.defineProperty(window, "klineGateway", {
    get: (): PageState => {
      const state = read();
      return Object.freeze({
        ...state,
        openTimes: state.bars.map((bar) => bar.openTime),
        newest: state.bars.at(-1) ?? null,
        firstCandlesMs: performance.getEntriesByName("first-candles")[0]?.startTime ?? state.firstChartMs,
      });
    },
  });
}
