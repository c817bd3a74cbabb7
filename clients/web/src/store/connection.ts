// The state of the connection as a whole, and the history of its changes.

import {
  type ConnectionPhase,
  type FreshnessReason,
  freshness,
  type KlineStream,
  type Level,
  type ThrottleReason,
} from "../client/index.ts";
import type { CellOptions, Origin } from "./cell.ts";

/** `idle`: nothing is subscribed to. */
export type ConnectionReason = FreshnessReason | "idle";

export interface ConnectionChange {
  /** Counts the changes. */
  readonly number: number;
  /** Wall clock, ms. */
  readonly at: number;
  readonly level: Level;
  readonly why: ConnectionReason;
}

export interface ConnectionState {
  readonly phase: ConnectionPhase;
  readonly level: Level;
  readonly why: ConnectionReason;
  /** Why updates come less often than the gateway's interval; `null`: they do not. */
  readonly throttled: ThrottleReason | null;
  /** The longest that an update waits in the gateway; `null`: not known yet. */
  readonly intervalMs: number | null;
  /** The last changes of level and reason, the newest first. */
  readonly history: readonly ConnectionChange[];
}

const CLOCK_MS = 1_000;
export const CHANGES_KEPT = 50;
const IDLE: ConnectionState = {
  phase: "idle",
  level: "yellow",
  why: "idle",
  throttled: null,
  intervalMs: null,
  history: [],
};

/** Notes the changes from the beginning on, whether anybody reads them or not. */
export function connectionCell(stream: KlineStream): CellOptions<ConnectionState> {
  let state = IDLE;
  let changes = 0;
  const read = (): ConnectionState => {
    const { phase, throttled, intervalMs } = stream.info;
    const { level, why } = judge(stream);
    const changed = level !== state.level || why !== state.why;
    if (changed) changes += 1;
    if (!changed && phase === state.phase && throttled === state.throttled && intervalMs === state.intervalMs)
      return state;
    const history = changed
      ? [{ number: changes, at: Date.now(), level, why }, ...state.history].slice(0, CHANGES_KEPT)
      : state.history;
    state = { phase, level, why, throttled, intervalMs, history };
    return state;
  };
  stream.onConnection(read, { connect: false });
  return {
    initial: () => IDLE,
    idle: () => state,
    open(changed): Origin<ConnectionState> {
      const stop = stream.onConnection(changed, { connect: false });
      // Silence and stale channels are no events of the connection.
      const clock = setInterval(changed, CLOCK_MS);
      return {
        read,
        close() {
          stop();
          clearInterval(clock);
        },
      };
    },
  };
}

/** Whole seconds since the gateway's last message, heartbeats included; `null`: there was none. */
export function ageCell(stream: KlineStream): CellOptions<number | null> {
  const read = (): number | null => {
    const { lastMessageAt } = stream.info;
    return lastMessageAt === 0 ? null : Math.max(0, Math.round((Date.now() - lastMessageAt) / 1_000));
  };
  return {
    initial: () => null,
    idle: () => null,
    open(changed): Origin<number | null> {
      const clock = setInterval(changed, CLOCK_MS);
      return { read, close: () => clearInterval(clock) };
    },
  };
}

function judge(stream: KlineStream): { readonly level: Level; readonly why: ConnectionReason } {
  const { phase, lastMessageAt } = stream.info;
  if (phase === "idle") return IDLE;
  const silenceMs = lastMessageAt === 0 ? 0 : Date.now() - lastMessageAt;
  return freshness({
    connection: phase,
    channel: stream.stale ? "stale" : "live",
    dataAgeMs: lastMessageAt === 0 ? null : silenceMs,
    silenceMs,
  });
}
