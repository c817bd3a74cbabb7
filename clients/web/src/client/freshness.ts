// Green, yellow or red: how fresh the shown data is. Pure.

import type { ConnectionPhase } from "./connection.ts";

export type Level = "green" | "yellow" | "red";

export type FreshnessReason = "live" | "late" | "stale" | "loading" | "reconnecting" | "offline" | "refused" | "failed";

export interface FreshnessInput {
  readonly connection: ConnectionPhase;
  /** `waiting`: no snapshot yet on this connection; `failed`: the gateway does not serve this channel. */
  readonly channel: "live" | "stale" | "waiting" | "failed";
  /** Since the channel's last message; `null`: there was none. */
  readonly dataAgeMs: number | null;
  /** Since the connection's last message, heartbeats included. */
  readonly silenceMs: number;
}

export interface Freshness {
  readonly level: Level;
  readonly why: FreshnessReason;
}

/** The gateway sends a heartbeat every 5 s; one may be late. */
export const LATE_MS = 10_000;
/** Data older than this is red. */
export const TOO_OLD_MS = 30_000;

/**
 * A live channel stays green however quiet its market is: the gateway reports a disconnected source itself, and
 * heartbeats distinguish a quiet connection from a dead one.
 */
export function freshness({ connection, channel, dataAgeMs, silenceMs }: FreshnessInput): Freshness {
  if (connection === "refused") return { level: "red", why: "refused" };
  const levelByAge: Level = dataAgeMs === null || dataAgeMs > TOO_OLD_MS ? "red" : "yellow";
  if (connection === "waiting" || connection === "closed")
    return { level: levelByAge, why: dataAgeMs === null ? "offline" : "reconnecting" };
  if (channel === "failed") return { level: "red", why: "failed" };
  if (connection === "connecting" || channel === "waiting") {
    return dataAgeMs === null ? { level: "yellow", why: "loading" } : { level: levelByAge, why: "reconnecting" };
  }
  if (channel === "stale") return { level: levelByAge, why: "stale" };
  return silenceMs > LATE_MS ? { level: "yellow", why: "late" } : { level: "green", why: "live" };
}
