import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  Connection,
  type ConnectionPhase,
  decode,
  HANDSHAKE_MS,
  PROBE_MS,
  SILENCE_MS,
  STABLE_MS,
} from "../src/client/connection";
import type { ServerMessage } from "../src/client/types";
import { FakeSocket } from "./fake-socket";

let phases: ConnectionPhase[];
let received: ServerMessage[];
let opened: number;
let needed: boolean;
let link: Connection;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  FakeSocket.all = [];
  phases = [];
  received = [];
  opened = 0;
  needed = true;
  link = new Connection(() => "ws://gateway/v1/stream", FakeSocket, {
    opened: () => {
      opened += 1;
    },
    received: (message) => received.push(message),
    phaseChanged: (phase) => phases.push(phase),
    needed: () => needed,
  });
  link.open();
});

afterEach(() => {
  link.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const heartbeat = (): void => FakeSocket.last.say({ op: "heartbeat", t: 1 });

test("connects once and asks for its subprotocol", () => {
  link.open();
  expect(FakeSocket.all).toHaveLength(1);
  expect(FakeSocket.last.url).toBe("ws://gateway/v1/stream");
  expect(FakeSocket.last.protocols).toEqual(["kline.v1.json"]);
  expect(link.phase).toBe("connecting");
});

test("says when it connects again", () => {
  expect(link.retryAt).toBeNull();
  FakeSocket.last.end();
  expect(link.phase).toBe("waiting");
  expect(link.retryAt).toBe(Date.now() + 250);
  vi.advanceTimersByTime(250);
  expect([link.phase, link.retryAt]).toEqual(["connecting", null]);
});

test("is open when the gateway said hello, and hands the rest on", () => {
  FakeSocket.last.hello();
  heartbeat();
  expect(opened).toBe(1);
  expect(phases).toEqual(["connecting", "open"]);
  expect(received).toEqual([{ op: "heartbeat", t: 1 }]);
  expect(link.lastMessageAt).toBe(Date.now());
});

test("ignores what is no message", () => {
  FakeSocket.last.hello();
  FakeSocket.last.say("<html>");
  expect(received).toEqual([]);
});

test("waits longer after each failure, with jitter", () => {
  for (const waitMs of [250, 500, 1_000]) {
    FakeSocket.last.end();
    expect(link.phase).toBe("waiting");
    const sockets = FakeSocket.all.length;
    vi.advanceTimersByTime(waitMs - 1);
    expect(FakeSocket.all).toHaveLength(sockets);
    vi.advanceTimersByTime(1);
    expect(FakeSocket.all).toHaveLength(sockets + 1);
    expect(link.phase).toBe("connecting");
  }
});

test("counts anew after a connection that connectedMs, not after one that was cut at once", () => {
  FakeSocket.last.end();
  vi.advanceTimersByTime(250);
  FakeSocket.last.hello();
  FakeSocket.last.end();
  vi.advanceTimersByTime(499);
  expect(link.phase).toBe("waiting");
  vi.advanceTimersByTime(1);
  FakeSocket.last.hello();
  vi.advanceTimersByTime(STABLE_MS);
  FakeSocket.last.end();
  vi.advanceTimersByTime(250);
  expect(link.phase).toBe("connecting");
});

test("stays away for longer from an overloaded gateway", () => {
  FakeSocket.last.end(1013);
  vi.advanceTimersByTime(3_999);
  expect(link.phase).toBe("waiting");
  vi.advanceTimersByTime(1);
  expect(link.phase).toBe("connecting");
});

test.each([1002, 1003, 1007, 1008, 1009, 4002, 4004, 4007])(
  "does not come back by itself after close code %i",
  (code) => {
    FakeSocket.last.hello();
    FakeSocket.last.end(code);
    expect(link.phase).toBe("refused");
    vi.advanceTimersByTime(120_000);
    expect(FakeSocket.all).toHaveLength(1);
    link.check();
    expect(FakeSocket.all).toHaveLength(2);
  },
);

test("waits as long as the gateway said before a planned end, once", () => {
  FakeSocket.last.hello();
  FakeSocket.last.say({ op: "shutdown", retry_ms: 4_000 });
  FakeSocket.last.end(1012);
  vi.advanceTimersByTime(3_999);
  expect(FakeSocket.all).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(FakeSocket.all).toHaveLength(2);
  FakeSocket.last.end();
  vi.advanceTimersByTime(3_000);
  expect(FakeSocket.all).toHaveLength(3);
});

test("gives up a handshake that does not end", () => {
  vi.advanceTimersByTime(HANDSHAKE_MS);
  expect(link.phase).toBe("waiting");
  expect(FakeSocket.last.closed).toBe(true);
});

test("heartbeats keep a quiet connection", () => {
  FakeSocket.last.hello();
  for (let beat = 0; beat < 10; beat += 1) {
    vi.advanceTimersByTime(5_000);
    heartbeat();
  }
  expect(link.phase).toBe("open");
  expect(FakeSocket.all).toHaveLength(1);
});

test("three missed heartbeats end the connection without waiting for the dead peer", () => {
  FakeSocket.last.hello();
  vi.advanceTimersByTime(5_000);
  heartbeat();
  vi.advanceTimersByTime(SILENCE_MS - 1);
  expect(link.phase).toBe("open");
  vi.advanceTimersByTime(1);
  expect(link.phase).toBe("waiting");
  expect(FakeSocket.last.closed).toBe(true);
  expect(FakeSocket.last.onclose).toBeNull();
});

test("commands are sent as JSON text, and to nobody between connections", () => {
  FakeSocket.last.hello();
  link.send({ op: "ping", id: 4 });
  expect(FakeSocket.last.take()).toEqual([{ op: "ping", id: 4 }]);
  FakeSocket.last.end();
  link.send({ op: "ping", id: 5 });
  expect(FakeSocket.last.sent).toEqual([]);
});

describe("a check", () => {
  test("connects at once while waiting, and forgets the failures", () => {
    for (let failure = 0; failure < 6; failure += 1) {
      FakeSocket.last.end();
      if (failure < 5) vi.advanceTimersByTime(30_000);
    }
    link.check();
    expect(link.phase).toBe("connecting");
    FakeSocket.last.end();
    vi.advanceTimersByTime(250);
    expect(link.phase).toBe("connecting");
  });

  test("pings an open connection and keeps one that answers", () => {
    FakeSocket.last.hello();
    link.check();
    expect(FakeSocket.last.take()).toEqual([{ op: "ping", id: -1 }]);
    FakeSocket.last.say({ op: "pong", id: -1, time: 1 });
    vi.advanceTimersByTime(PROBE_MS);
    expect(link.phase).toBe("open");
    vi.advanceTimersByTime(SILENCE_MS - PROBE_MS);
    expect(link.phase).toBe("waiting");
  });

  test("drops an open connection that does not answer", () => {
    FakeSocket.last.hello();
    link.check();
    vi.advanceTimersByTime(PROBE_MS);
    expect(link.phase).toBe("waiting");
  });

  test("leaves a handshake alone", () => {
    link.check();
    expect(FakeSocket.all).toHaveLength(1);
    expect(FakeSocket.last.sent).toEqual([]);
  });
});

test("a connection that nobody needs is not replaced when it is lost", () => {
  FakeSocket.last.hello();
  needed = false;
  FakeSocket.last.end(4003);
  expect(link.phase).toBe("idle");
  vi.advanceTimersByTime(120_000);
  link.check();
  expect(FakeSocket.all).toHaveLength(1);
  link.open();
  expect(FakeSocket.all).toHaveLength(2);
});

test("rests without a socket until it is needed", () => {
  FakeSocket.last.hello();
  link.rest();
  expect(FakeSocket.last.closed).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
  link.open();
  expect(phases).toEqual(["connecting", "open", "idle", "connecting"]);
});

test("a closed link stays closed", () => {
  link.close();
  link.close();
  link.check();
  link.rest();
  link.open();
  expect(FakeSocket.all).toHaveLength(1);
  expect(phases).toEqual(["connecting", "closed"]);
});

test.each([
  ["a binary frame", new ArrayBuffer(2)],
  ["not JSON", "{"],
  ["no object", "7"],
  ["null", "null"],
  ["an object without op", "{}"],
])("decode refuses %s", (_name, data) => {
  expect(decode(data)).toBeNull();
});

test("decode reads a message", () => {
  expect(decode('{"op":"heartbeat","t":5}')).toEqual({ op: "heartbeat", t: 5 });
});

test("nothing is sent on a socket that is closing", () => {
  FakeSocket.last.hello();
  FakeSocket.last.readyState = 2;
  link.send({ op: "ping", id: 1 });
  expect(FakeSocket.last.sent).toEqual([]);
  FakeSocket.last.readyState = 1;
  link.send({ op: "ping", id: 2 });
  expect(FakeSocket.last.take()).toEqual([{ op: "ping", id: 2 }]);
});
