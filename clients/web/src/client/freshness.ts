// Green, yellow or red: how far what is on the screen can be trusted. Pure; the page only paints it.

import type { LinkPhase } from "./link.ts";

export type Level = "green" | "yellow" | "red";

export type Why = "live" | "late" | "stale" | "loading" | "reconnecting" | "offline" | "refused" | "failed";

export interface FreshnessInput {
  readonly link: LinkPhase;
  /** `waiting`: no snapshot yet on this connection; `failed`: the gateway does not serve this channel. */
  readonly channel: "live" | "stale" | "waiting" | "failed";
  /** Since the channel's last news; `null`: nothing has ever come. */
  readonly dataAgeMs: number | null;
  /** Since anything came over the connection, heartbeats included. */
  readonly silenceMs: number;
}

export interface Freshness {
  readonly level: Level;
  readonly why: Why;
}

/** A heartbeat comes every 5 s; one may be late before it is worth telling. */
export const LATE_MS = 10_000;
/** Prices this old are no longer "a moment ago". */
export const TOO_OLD_MS = 30_000;

/**
 * A live channel stays green however quiet its market is: the gateway itself says when a source is away,
 * and heartbeats tell quiet from dead.
 */
export function freshness({ link, channel, dataAgeMs, silenceMs }: FreshnessInput): Freshness {
  if (link === "refused") return { level: "red", why: "refused" };
  const fading: Level = dataAgeMs === null || dataAgeMs > TOO_OLD_MS ? "red" : "yellow";
  if (link === "waiting" || link === "closed")
    return { level: fading, why: dataAgeMs === null ? "offline" : "reconnecting" };
  if (channel === "failed") return { level: "red", why: "failed" };
  if (link === "connecting" || channel === "waiting") {
    return dataAgeMs === null ? { level: "yellow", why: "loading" } : { level: fading, why: "reconnecting" };
  }
  if (channel === "stale") return { level: fading, why: "stale" };
  return silenceMs > LATE_MS ? { level: "yellow", why: "late" } : { level: "green", why: "live" };
}
