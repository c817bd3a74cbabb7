// The wire: opens what a dialect is spoken over, sends what is typed, and tells everything that goes either way.

import type { Target } from "./dialects";
import { dataOf, EventStream } from "./event-stream";

export type Phase = "closed" | "connecting" | "open";

export interface Listener {
  phase(phase: Phase): void;
  /** `code`: of an error or an end, if it has one. `said`: what of the text is a message; all of it where it is missing. */
  frame(direction: "in" | "out", text: string, more?: { readonly code?: string; readonly said?: string }): void;
  note(text: string, code?: string): void;
  /** A connection ended; `opened`: it had come about. */
  closed(code: number, reason: string, opened: boolean): void;
}

export interface Wire {
  /** False: nothing can be sent now. */
  send(text: string): boolean;
  close(): void;
}

/** `base`: the gateway's address, with a slash at its end. */
export function connect(target: Target, base: string, token: string | null, listener: Listener): Wire {
  if (target.kind === "socket") return openSocket(target, base, token, listener);
  return target.kind === "events"
    ? openEvents(new URL(target.path, base), token, listener)
    : requestAll([target.path, ...target.first], base, token, listener);
}

function openSocket(
  { path, subprotocol, first }: Target,
  base: string,
  token: string | null,
  listener: Listener,
): Wire {
  const url = new URL(path, base);
  url.protocol = url.protocol.replace("http", "ws");
  // A page cannot set headers. The gateway answers the real subprotocol and never this one.
  const secret = token !== null && subprotocol !== null ? [`kline.token.${token}`] : [];
  const offered = subprotocol === null ? [] : [subprotocol, ...secret];
  const shown = offered.map((name) => (secret.includes(name) ? "kline.token.…" : name));
  listener.phase("connecting");
  listener.note(`WebSocket ${url.href}${shown.length === 0 ? "" : `, subprotocols ${shown.join(", ")}`}`);
  const socket = new WebSocket(url, offered);
  let opened = false;
  const send = (text: string): boolean => {
    if (socket.readyState !== WebSocket.OPEN) return false;
    socket.send(text);
    listener.frame("out", text);
    return true;
  };
  socket.onopen = () => {
    opened = true;
    listener.phase("open");
    for (const text of first) send(text);
  };
  socket.onmessage = ({ data }) => listener.frame("in", String(data));
  socket.onclose = ({ code, reason }) => {
    listener.closed(code, reason, opened);
    listener.phase("closed");
  };
  return { send, close: () => socket.close(1000) };
}

/** With `fetch`: `EventSource` shows no refusal, no comment, and cannot send a token. */
function openEvents(url: URL, token: string | null, listener: Listener): Wire {
  const aborter = new AbortController();
  listener.phase("connecting");
  listener.frame("out", `GET ${url.pathname}${url.search}`);
  void readEvents(url, token, aborter.signal, listener)
    .catch((error: unknown) => {
      if (!aborter.signal.aborted) listener.note(String(error));
    })
    .finally(() => {
      listener.note("The stream has ended.");
      listener.phase("closed");
    });
  return { send: () => false, close: () => aborter.abort() };
}

async function readEvents(url: URL, token: string | null, signal: AbortSignal, listener: Listener): Promise<void> {
  const response = await fetch(url, { headers: { accept: "text/event-stream", ...bearer(token) }, signal });
  if (!response.ok) {
    listener.frame("in", await response.text(), { code: String(response.status) });
    return;
  }
  listener.phase("open");
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  const stream = new EventStream();
  for (;;) {
    const part = await reader?.read();
    if (part?.value === undefined) return;
    for (const text of stream.take(decoder.decode(part.value, { stream: true }))) {
      listener.frame("in", text, { said: dataOf(text) });
    }
  }
}

function requestAll(paths: readonly string[], base: string, token: string | null, listener: Listener): Wire {
  const aborter = new AbortController();
  listener.phase("open");
  const ask = async (path: string): Promise<void> => {
    await request(path, base, token, listener, aborter.signal);
  };
  void paths
    .reduce<Promise<void>>((before, path) => before.then(() => ask(path)), Promise.resolve())
    .finally(() => listener.phase("closed"));
  return { send: () => false, close: () => aborter.abort() };
}

/** One `GET` of a path of the gateway; tells what comes of it. */
export async function request(
  path: string,
  base: string,
  token: string | null,
  listener: Listener,
  signal?: AbortSignal,
): Promise<void> {
  const url = new URL(path.trim().replace(/^\/+/, "./"), base);
  // The token is the gateway's: it goes nowhere else.
  if (url.origin !== new URL(base).origin) {
    listener.note(`Not a path of this gateway: ${path}`);
    return;
  }
  listener.frame("out", `GET ${url.pathname}${url.search}`);
  try {
    const response = await fetch(url, { headers: bearer(token), ...(signal && { signal }) });
    if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
      await response.body?.cancel();
      listener.note("This answer has no end: choose Events.");
      return;
    }
    const text = await response.text();
    listener.frame("in", text, response.ok ? {} : { code: String(response.status) });
  } catch (error) {
    listener.note(String(error));
  }
}

export function bearer(token: string | null): Record<string, string> {
  return token === null ? {} : { authorization: `Bearer ${token}` };
}
