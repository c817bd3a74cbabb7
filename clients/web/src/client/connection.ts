// The connection to the stream: connects, detects that the peer is gone, waits, connects again.
// It knows no channels; it passes decoded messages on.

import { backoffMs } from "./backoff.ts";
import type { ClientCommand, Hello, ServerMessage } from "./types.ts";

/**
 * `idle`: nothing needs a connection. `refused`: the gateway closed with a code that forbids reconnecting; only `check()`
 * tries again. `closed`: for good.
 */
export type ConnectionPhase = "idle" | "connecting" | "open" | "waiting" | "refused" | "closed";

/** What the library needs of a WebSocket: the browser's, Node's and the `ws` package's all have it. */
export interface Socket {
  /** 1: open. */
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(): void;
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

export interface ConnectionEvents {
  /** The gateway's hello has arrived: commands may be sent. */
  opened(hello: Hello): void;
  received(message: ServerMessage): void;
  phaseChanged(phase: ConnectionPhase): void;
  /** Whether a connection that is lost is to be replaced. */
  needed(): boolean;
}

export const SUBPROTOCOL = "kline.v1.json";
/** Prefix of a token: a page can put one nowhere else in a handshake. */
const TOKEN_SUBPROTOCOL = "kline.token.";
/** A connection without a message for three heartbeats is dead. */
export const SILENCE_MS = 15_000;
export const HANDSHAKE_MS = 10_000;
/** Time to answer a ping after the machine may have slept. */
export const PROBE_MS = 3_000;
/** A connection that lasted this long counts as good: the next failure counts as the first. */
export const STABLE_MS = 10_000;

const OPEN = 1;

const FINAL_CODES: ReadonlySet<number> = new Set([1002, 1003, 1007, 1008, 1009, 4002, 4004, 4007]);
const OVERLOADED = 1013;
const OVERLOADED_FAILURES = 4;

export class Connection {
  readonly #url: () => string;
  readonly #Socket: SocketConstructor | undefined;
  readonly #events: ConnectionEvents;
  readonly #token: () => string | null;
  #socket: Socket | null = null;
  #phase: ConnectionPhase = "idle";
  #failures = 0;
  #openedAt = 0;
  #lastMessageAt = 0;
  #messages = 0;
  #pings = 0;
  /** The delay that the gateway asked for before its planned shutdown. */
  #retryMs: number | null = null;
  #retryAt: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `Socket`: the environment's own if undefined. `url` and `token` are asked at each connection. */
  constructor(
    url: () => string,
    Socket: SocketConstructor | undefined,
    events: ConnectionEvents,
    token: () => string | null = () => null,
  ) {
    this.#token = token;
    this.#url = url;
    this.#Socket = Socket;
    this.#events = events;
  }

  get phase(): ConnectionPhase {
    return this.#phase;
  }

  /** When the last message arrived (wall clock, which continues while a machine sleeps, ms). 0: there was none. */
  get lastMessageAt(): number {
    return this.#lastMessageAt;
  }

  /** When it connects again by itself (wall clock, ms); `null`: it is not waiting. */
  get retryAt(): number | null {
    return this.#phase === "waiting" ? this.#retryAt : null;
  }

  /** Connects, if nothing has so far. Throws if the environment has no WebSocket and none was given. */
  open(): void {
    if (this.#phase === "idle") this.#connect();
  }

  /** Nothing needs the connection for now. */
  rest(): void {
    if (this.#phase === "closed") return;
    this.#drop();
    this.#setPhase("idle");
  }

  /** Closes for good; no timer and no handler is left. */
  close(): void {
    this.#drop();
    this.#setPhase("closed");
  }

  /** Sends a command, or drops it if the socket is closing: the next connection subscribes again. */
  send(command: ClientCommand): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(command));
  }

  /** Checks the connection at once: the machine woke up, the network changed or the user pressed retry. */
  check(): void {
    if (this.#phase === "waiting" || this.#phase === "refused") {
      this.reconnect();
    } else if (this.#phase === "open") {
      this.#pings += 1;
      this.send({ op: "ping", id: -this.#pings });
      const requested = this.#messages;
      this.#setTimer(PROBE_MS, () => (this.#messages > requested ? this.#watch() : this.#disconnected(0)));
    }
  }

  /** Replaces the connection, for example after a new token. */
  reconnect(): void {
    this.#failures = 0;
    this.#connect();
  }

  #connect(): void {
    this.#drop();
    const socket = connect(this.#Socket, this.#url, this.#token());
    this.#socket = socket;
    socket.onmessage = (event: { data: unknown }) => this.#received(event.data);
    socket.onclose = (event: { code: number }) => this.#disconnected(event.code);
    socket.onerror = () => {}; // a close always follows
    this.#setTimer(HANDSHAKE_MS, () => this.#disconnected(0));
    this.#setPhase("connecting");
  }

  #received(data: unknown): void {
    const message = decode(data);
    if (message === null) return;
    this.#lastMessageAt = Date.now();
    this.#messages += 1;
    if (message.op === "hello") {
      this.#openedAt = this.#lastMessageAt;
      this.#watch();
      this.#setPhase("open");
      this.#events.opened(message);
    } else if (message.op === "shutdown") {
      this.#retryMs = message.retry_ms;
    } else {
      this.#events.received(message);
    }
  }

  /** Detects silence with one timer that checks the last message, instead of one that every message restarts. */
  #watch(): void {
    const silence = Date.now() - this.#lastMessageAt;
    if (silence >= SILENCE_MS) this.#disconnected(0);
    else this.#setTimer(SILENCE_MS - silence, () => this.#watch());
  }

  #disconnected(code: number): void {
    const connectedMs = this.#phase === "open" ? Date.now() - this.#openedAt : 0;
    this.#drop();
    if (FINAL_CODES.has(code)) {
      this.#setPhase("refused");
      return;
    }
    if (!this.#events.needed()) {
      this.#setPhase("idle");
      return;
    }
    if (connectedMs >= STABLE_MS) this.#failures = 0;
    if (code === OVERLOADED) this.#failures = Math.max(this.#failures, OVERLOADED_FAILURES);
    const waitMs = this.#retryMs ?? backoffMs(this.#failures, Math.random());
    this.#setTimer(waitMs, () => this.#connect());
    this.#retryAt = Date.now() + waitMs;
    this.#retryMs = null;
    this.#failures += 1;
    this.#setPhase("waiting");
  }

  /** Drops the socket without waiting for its close: a dead peer never answers one. */
  #drop(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #setTimer(ms: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #setPhase(phase: ConnectionPhase): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#events.phaseChanged(phase);
  }
}

/** A new socket. Throws if the environment has no WebSocket and none was given. */
export function connect(given: SocketConstructor | undefined, url: () => string, token: string | null): Socket {
  const Socket = given ?? (globalThis.WebSocket as SocketConstructor | undefined);
  if (Socket === undefined) {
    throw new Error(
      "There is no WebSocket in this environment (Node has one from version 22 on). Pass one in the options, " +
        "for example `WebSocket` of the package `ws`.",
    );
  }
  return new Socket(url(), [SUBPROTOCOL, ...(token ? [TOKEN_SUBPROTOCOL + token] : [])]);
}

/** A message of the gateway, or `null` for what is not one (a proxy's page, a newer protocol's binary frame). */
export function decode(data: unknown): ServerMessage | null {
  if (typeof data !== "string") return null;
  try {
    const message: unknown = JSON.parse(data);
    return typeof message === "object" && message !== null && "op" in message ? (message as ServerMessage) : null;
  } catch {
    return null;
  }
}
