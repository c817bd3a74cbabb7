// The lists of markets and intervals: read over HTTP, refreshed every minute, retried sooner after a failure.

import { fetchKlines, fetchMarkets, HttpError, type Markets } from "kline-gateway-client";
import { token } from "./access";
import { base } from "./first-load";
import type { ViewInput } from "./view";

const UNAUTHORIZED = 401;
/** The gateway's answer while its source is disconnected. */
const SOURCE_AWAY = "REDIS_ERROR";
const RETRY_MS = 3_000;
const REFRESH_MS = 60_000;

export class MarketLists {
  readonly #changed: (first: boolean) => boolean;
  #lists: Markets | null = null;
  #state: ViewInput["markets"] = "loading";
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * `changed` is called after each attempt; `first`: with the first lists. It returns whether the selected market is
   * missing, so that the lists are read again soon.
   */
  constructor(changed: (first: boolean) => boolean) {
    this.#changed = changed;
  }

  /** `null`: not read yet. */
  get lists(): Markets | null {
    return this.#lists;
  }

  get symbols(): readonly string[] {
    return this.#lists?.symbols ?? [];
  }

  /** Lists that were read before are good enough while the gateway is unavailable. */
  get state(): ViewInput["markets"] {
    return this.#state === "failed" && this.#lists !== null ? "ready" : this.#state;
  }

  async read(request = fetchMarkets(base, { token: token() })): Promise<void> {
    let first = false;
    try {
      const none = this.#lists === null;
      this.#lists = await request;
      this.#state = (await this.#sourceAway()) ? "sourceless" : "ready";
      first = none;
    } catch (error) {
      // The badge shows that the gateway is unavailable; anything else would be a bug of the page.
      if (!(error instanceof HttpError || error instanceof TypeError)) throw error;
      const unauthorized = error instanceof HttpError && error.status === UNAUTHORIZED;
      this.#state = !unauthorized ? "failed" : token() === null ? "locked" : "denied";
    }
    const missing = this.#changed(first);
    clearTimeout(this.#timer);
    // A retry cannot succeed without another token.
    if (this.#state === "locked" || this.#state === "denied") return;
    const settled = this.#state === "ready" && !missing && this.symbols.length > 0;
    this.#timer = setTimeout(() => void this.read(), settled ? REFRESH_MS : RETRY_MS);
  }

  /** Without any market there is no channel that would say so. */
  async #sourceAway(): Promise<boolean> {
    const interval = this.#lists?.intervals[0];
    if (this.symbols.length > 0 || interval === undefined) return false;
    try {
      await fetchKlines(base, { symbol: "BTCUSDT", interval, limit: 1 }, { token: token() });
      return false;
    } catch (error) {
      return error instanceof HttpError && error.code === SOURCE_AWAY;
    }
  }
}
