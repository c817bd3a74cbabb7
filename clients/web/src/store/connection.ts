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

/** `idle`: nothing is subscribed to, or the service was closed. */
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

/** The state of one stream and what it was before: noted from the beginning on, whether anybody reads it or not. */
class Changes {
  readonly #stream: KlineStream;
  #state = IDLE;
  #count = 0;

  constructor(stream: KlineStream) {
    this.#stream = stream;
    stream.onConnection(() => this.read(), { connect: false });
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The same object until something changes. */
  readonly read = (): ConnectionState => {
    const before = this.#state;
    const { phase, throttled, intervalMs } = this.#stream.info;
    const { level, why } = judge(this.#stream);
    const changed = level !== before.level || why !== before.why;
    if (!changed && phase === before.phase && throttled === before.throttled && intervalMs === before.intervalMs)
      return before;
    if (changed) this.#count += 1;
    const history = changed
      ? [{ number: this.#count, at: Date.now(), level, why }, ...before.history].slice(0, CHANGES_KEPT)
      : before.history;
    this.#state = { phase, level, why, throttled, intervalMs, history };
    return this.#state;
  };
}

/** One a stream, which it listens to for ever: stores come and go with the components that make them. */
const noted = new WeakMap<KlineStream, Changes>();

export function connectionCell(stream: KlineStream): CellOptions<ConnectionState> {
  const changes = noted.get(stream) ?? new Changes(stream);
  noted.set(stream, changes);
  return {
    initial: () => IDLE,
    idle: () => changes.state,
    open(changed): Origin<ConnectionState> {
      const stop = stream.onConnection(changed, { connect: false });
      // Silence and stale channels are no events of the connection.
      const clock = setInterval(changed, CLOCK_MS);
      return {
        read: changes.read,
        close() {
          stop();
          clearInterval(clock);
        },
      };
    },
  };
}

/** Whole seconds since the data was up to date: since the gateway's last message, or longer while its source is away; `null`: there was none. */
export function ageCell(stream: KlineStream): CellOptions<number | null> {
  const read = (): number | null => {
    const at = dataAt(stream);
    return at === 0 ? null : Math.max(0, Math.round((Date.now() - at) / 1_000));
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
  // One that was closed for good connects no more.
  if (phase === "idle" || phase === "closed") return IDLE;
  const at = dataAt(stream);
  return freshness({
    connection: phase,
    channel: stream.stale ? "stale" : "live",
    dataAgeMs: at === 0 ? null : Date.now() - at,
    silenceMs: lastMessageAt === 0 ? 0 : Date.now() - lastMessageAt,
  });
}

/** A gateway that has lost its source sends heartbeats all the same: then it is the data that counts. */
function dataAt(stream: KlineStream): number {
  return stream.stale ? stream.dataAt : stream.info.lastMessageAt;
}
