// The life of one connection to the stream: connect, notice that it died, wait, connect again.
// It knows no channels and folds nothing; what arrives is handed on as decoded messages.

import { backoffMs } from "./backoff.ts";
import type { ClientCommand, Hello, ServerMessage } from "./types.ts";

/** `refused`: the gateway closed with a code that says not to come back; only `check()` tries again. */
export type LinkPhase = "connecting" | "open" | "waiting" | "refused" | "closed";

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

export interface LinkEvents {
  /** The gateway said hello: commands may be sent. */
  opened(hello: Hello): void;
  received(message: ServerMessage): void;
  phaseChanged(phase: LinkPhase): void;
}

export const SUBPROTOCOL = "kline.v1.json";
/** Before a token: the only place in a handshake where a page can put one. */
const TOKEN_SUBPROTOCOL = "kline.token.";
/** Three heartbeats. */
export const SILENCE_MS = 15_000;
export const HANDSHAKE_MS = 10_000;
/** An answer to a ping that was sent because the machine may have slept. */
export const PROBE_MS = 3_000;
/** A connection that lived so long was a good one: the next failure starts counting anew. */
export const STABLE_MS = 10_000;

const OPEN = 1;

const DO_NOT_RETURN: ReadonlySet<number> = new Set([1002, 1003, 1007, 1008, 1009, 4002, 4004]);
const OVERLOADED = 1013;
const OVERLOADED_FAILURES = 4;

export class Link {
  readonly #url: string;
  readonly #Socket: SocketConstructor;
  readonly #events: LinkEvents;
  readonly #token: () => string | null;
  #socket: Socket | null = null;
  #phase: LinkPhase = "closed";
  #failures = 0;
  #openedAt = 0;
  #heardAt = 0;
  #messages = 0;
  #pings = 0;
  /** What the gateway said to wait before its planned end. */
  #retryMs: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, Socket: SocketConstructor, events: LinkEvents, token: () => string | null = () => null) {
    this.#token = token;
    this.#url = url;
    this.#Socket = Socket;
    this.#events = events;
  }

  get phase(): LinkPhase {
    return this.#phase;
  }

  /** When anything last came, on the wall clock (which goes on while a machine sleeps). 0: never. */
  get heardAt(): number {
    return this.#heardAt;
  }

  open(): void {
    if (this.#socket === null) this.#connect();
  }

  /** Ends for good; no timer and no handler is left. */
  close(): void {
    this.#drop();
    this.#enter("closed");
  }

  /** A socket that is closing takes nothing more: what was wanted is asked for anew on the next connection. */
  send(command: ClientCommand): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(command));
  }

  /** The machine woke up, the network changed or somebody pressed retry: find out now, not after a timeout. */
  check(): void {
    if (this.#phase === "waiting" || this.#phase === "refused") {
      this.reconnect();
    } else if (this.#phase === "open") {
      this.#pings += 1;
      this.send({ op: "ping", id: -this.#pings });
      const asked = this.#messages;
      this.#arm(PROBE_MS, () => (this.#messages > asked ? this.#watch() : this.#lost(0)));
    }
  }

  /** Another connection instead of this one, as with another token. */
  reconnect(): void {
    this.#failures = 0;
    this.#connect();
  }

  #connect(): void {
    this.#drop();
    const token = this.#token();
    const socket = new this.#Socket(this.#url, [SUBPROTOCOL, ...(token ? [TOKEN_SUBPROTOCOL + token] : [])]);
    this.#socket = socket;
    socket.onmessage = (event: { data: unknown }) => this.#received(event.data);
    socket.onclose = (event: { code: number }) => this.#lost(event.code);
    socket.onerror = () => {}; // a close always follows
    this.#arm(HANDSHAKE_MS, () => this.#lost(0));
    this.#enter("connecting");
  }

  #received(data: unknown): void {
    const message = decode(data);
    if (message === null) return;
    this.#heardAt = Date.now();
    this.#messages += 1;
    if (message.op === "hello") {
      this.#openedAt = this.#heardAt;
      this.#watch();
      this.#enter("open");
      this.#events.opened(message);
    } else if (message.op === "shutdown") {
      this.#retryMs = message.retry_ms;
    } else {
      this.#events.received(message);
    }
  }

  /** One timer that looks back, instead of one rearmed by every message. */
  #watch(): void {
    const silence = Date.now() - this.#heardAt;
    if (silence >= SILENCE_MS) this.#lost(0);
    else this.#arm(SILENCE_MS - silence, () => this.#watch());
  }

  #lost(code: number): void {
    const lived = this.#phase === "open" ? Date.now() - this.#openedAt : 0;
    this.#drop();
    if (DO_NOT_RETURN.has(code)) {
      this.#enter("refused");
      return;
    }
    if (lived >= STABLE_MS) this.#failures = 0;
    if (code === OVERLOADED) this.#failures = Math.max(this.#failures, OVERLOADED_FAILURES);
    this.#arm(this.#retryMs ?? backoffMs(this.#failures, Math.random()), () => this.#connect());
    this.#retryMs = null;
    this.#failures += 1;
    this.#enter("waiting");
  }

  /** Lets go of the socket without waiting for its close: a dead peer never answers one. */
  #drop(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #arm(ms: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #enter(phase: LinkPhase): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#events.phaseChanged(phase);
  }
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
