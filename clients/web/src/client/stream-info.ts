// What the gateway has said about the connection: limits, intervals, its clock.

import type { ConnectionPhase } from "./connection.ts";
import type { Hello, Settings, Throttle, ThrottleReason } from "./types.ts";

export interface StreamInfo {
  readonly phase: ConnectionPhase;
  /** When the last message arrived, heartbeats included (wall clock, ms); 0: there was none. */
  readonly lastMessageAt: number;
  /** When the next attempt to connect is made (wall clock, ms); `null`: none is waited for. */
  readonly retryAt: number | null;
  readonly hello: Hello | null;
  /** The longest that an update waits in the gateway. */
  readonly intervalMs: number | null;
  /** Why the interval is longer than the gateway's; `null`: it is not. */
  readonly throttled: ThrottleReason | null;
  /** The gateway's clock minus ours. */
  readonly clockOffsetMs: number;
  /** Updates received since the stream was opened. */
  readonly updates: number;
}

export class StreamFacts {
  #hello: Hello | null = null;
  #intervalMs: number | null = null;
  #throttled: ThrottleReason | null = null;
  #clockOffsetMs = 0;
  #updates = 0;

  info(connection: Pick<StreamInfo, "phase" | "lastMessageAt" | "retryAt">): StreamInfo {
    return {
      phase: connection.phase,
      lastMessageAt: connection.lastMessageAt,
      retryAt: connection.retryAt,
      hello: this.#hello,
      intervalMs: this.#intervalMs,
      throttled: this.#throttled,
      clockOffsetMs: this.#clockOffsetMs,
      updates: this.#updates,
    };
  }

  opened(hello: Hello): void {
    this.#hello = hello;
    this.#intervalMs = hello.interval_ms;
    this.#throttled = null;
    this.#clockOffsetMs = hello.time - Date.now();
  }

  /** The interval has changed: by the gateway, or because it was asked to. */
  changed(message: Throttle | Settings): void {
    this.#intervalMs = message.interval_ms;
    if (message.op === "throttle") this.#throttled = message.reason === "recovered" ? null : message.reason;
  }

  /** `time`: the gateway's, ms. */
  updated(time: number, count: number): void {
    this.#clockOffsetMs = time - Date.now();
    this.#updates += count;
  }
}
