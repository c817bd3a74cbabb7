// Keeps the chart going while the stream cannot be had: asks over HTTP for the candles of the selected market.

import type { KlineDataService } from "kline-gateway-client";
import { HISTORY } from "./first-load";
import type { Route } from "./route";

const POLL_MS = 3_000;
/** A connection that is replaced at once needs none. */
const PATIENCE_MS = 1_000;

export class Polling {
  readonly #service: KlineDataService;
  readonly #route: () => Route;
  #lostAt: number | null = null;
  #nextAt = 0;
  #asking = false;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #asked = "";

  constructor(service: KlineDataService, route: () => Route) {
    this.#service = service;
    this.#route = route;
  }

  /** Whether candles came this way just now. */
  get works(): boolean {
    return performance.now() - this.#answeredAt < 2 * POLL_MS;
  }

  /** Asks if it is time to; to be called several times a second. */
  tick(): void {
    const now = performance.now();
    const { symbol, interval } = this.#route();
    if (this.#service.stream.info.phase === "open") this.#lostAt = null;
    else this.#lostAt ??= now;
    if (this.#lostAt === null || now - this.#lostAt < PATIENCE_MS) return;
    // Another chart is waited for.
    if (this.#asked !== `${symbol}/${interval}`) this.#nextAt = 0;
    if (symbol === "" || this.#asking || now < this.#nextAt || document.visibilityState === "hidden") return;
    void this.#ask(symbol, interval);
  }

  /** The next tick asks. */
  soon(): void {
    this.#nextAt = 0;
  }

  async #ask(symbol: string, interval: string): Promise<void> {
    this.#asking = true;
    this.#asked = `${symbol}/${interval}`;
    try {
      await this.#service.poll(symbol, interval, HISTORY);
      this.#answeredAt = performance.now();
    } catch {
      // The page says already that there is no connection.
      this.#answeredAt = Number.NEGATIVE_INFINITY;
    }
    this.#nextAt = performance.now() + POLL_MS;
    this.#asking = false;
  }
}
