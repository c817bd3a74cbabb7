// A socket whose other end is the test. It speaks like a browser's: events come when told, close is asynchronous.

import type { Socket } from "../src/client/connection";

export class FakeSocket implements Socket {
  static all: FakeSocket[] = [];

  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly url: string;
  readonly protocols: string[];
  readonly sent: Record<string, unknown>[] = [];
  readyState = 1;
  closed = false;

  constructor(url: string, protocols: string[]) {
    this.url = url;
    this.protocols = protocols;
    FakeSocket.all.push(this);
  }

  static get last(): FakeSocket {
    const socket = FakeSocket.all.at(-1);
    if (socket === undefined) throw new Error("nothing connected");
    return socket;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(): void {
    this.closed = true;
  }

  /** The gateway says something. */
  say(message: unknown): void {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) } as never);
  }

  hello(over: Record<string, unknown> = {}): void {
    const limits = { max_subscriptions: 1024, max_message_bytes: 8192, history_max: 500 };
    this.say({ op: "hello", protocol: 1, server: "test/1", time: Date.now(), interval_ms: 50, limits, ...over });
  }

  /** The connection ends from the other side. */
  end(code = 1006): void {
    this.onerror?.(undefined as never);
    this.onclose?.({ code } as never);
  }

  /** What was sent since the last look. */
  take(): Record<string, unknown>[] {
    return this.sent.splice(0);
  }
}
