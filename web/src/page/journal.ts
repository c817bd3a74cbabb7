// The history of the connection in words, the newest entry first. Pure.

import type { ChannelStatus, StreamInfo, ThrottleReason } from "kline-gateway-client";

export interface Entry {
  readonly at: number;
  readonly level: "green" | "yellow" | "red";
  readonly text: string;
}

const KEPT = 50;

const THROTTLE: Record<ThrottleReason, string> = {
  slow_client: "this connection is slow",
  load: "the gateway is busy",
  client: "as requested",
  recovered: "",
};

/** Why updates come more seldom than the gateway sends them to others; `null`: they do not. */
export function throttleText({ throttled, intervalMs }: StreamInfo): string | null {
  if (throttled === null || intervalMs === null) return null;
  return `${perSecond(intervalMs)}: ${THROTTLE[throttled]}`;
}

function perSecond(intervalMs: number): string {
  const rate = Math.round(1_000 / intervalMs);
  return rate > 1 ? `${rate} updates a second` : rate === 1 ? "One update a second" : "Few updates";
}

const SOURCE: Record<string, string> = {
  redis: "The gateway's source is disconnected",
  malformed: "The source sends nothing that can be used",
  prices: "The source sends no prices",
  klines: "The source closes no candles",
  symbol: "The source sends no news of this market",
};

export class Journal {
  #entries: readonly Entry[] = [];
  #phase: StreamInfo["phase"] | null = null;
  #throttle: string | null = null;
  #stale = false;
  #connections = 0;

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** How often the page has reconnected. */
  get reconnects(): number {
    return Math.max(0, this.#connections - 1);
  }

  connection(info: StreamInfo, now: number): void {
    const before = this.#phase;
    this.#phase = info.phase;
    if (info.phase === "open" && before !== "open") {
      this.#connections += 1;
      this.#throttle = null;
      this.#note(now, "green", this.#connections === 1 ? "Connected" : "Reconnected, resumed");
    } else if (info.phase === "waiting" && before === "open") {
      this.#note(now, "red", "Connection lost");
    } else if (info.phase === "refused" && before !== "refused") {
      this.#note(now, "red", "Refused by the gateway");
    }
    const throttle = throttleText(info);
    if (info.phase !== "open" || throttle === this.#throttle) return;
    this.#throttle = throttle;
    this.#note(now, throttle === null ? "green" : "yellow", throttle ?? "Full speed again");
  }

  channel({ state, reason }: ChannelStatus, now: number): void {
    if (state === "stale" && !this.#stale) {
      this.#stale = true;
      this.#note(now, "yellow", SOURCE[reason ?? ""] ?? "The source is silent");
    } else if (state === "live" && this.#stale) {
      this.#stale = false;
      this.#note(now, "green", "The source is back");
    }
  }

  #note(at: number, level: Entry["level"], text: string): void {
    this.#entries = [{ at, level, text }, ...this.#entries].slice(0, KEPT);
  }
}
