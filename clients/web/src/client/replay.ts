// A replay: what the gateway's archive has of some channels, in the order in which it happened. It has a connection of its own,
// which is not made again: a program begins a replay that was interrupted anew, or from where it was.

import { streamAddress } from "./address.ts";
import { connect, decode, SILENCE_MS, type SocketConstructor } from "./connection.ts";
import { ReplayError, type ReplayEvent, ReplayEvents } from "./replay-events.ts";
import type { ClientCommand } from "./types.ts";

/** From when to when, and how fast. Times are dates, or ms since the epoch. */
export interface ReplayRange {
  /** `0`: the beginning of what is stored. */
  readonly from: number | Date;
  /** Default: the present. */
  readonly to?: number | Date;
  /** How many times as fast as it happened, 1 to 1,000: the most, and no promise. Default 60. */
  readonly speed?: number;
}

export interface ReplayOptions extends ReplayRange {
  /** Pairs of symbol and interval. */
  readonly klines?: readonly (readonly [symbol: string, interval: string])[];
  /** Symbols. */
  readonly tickers?: readonly string[];
  /** Closed klines before `from` that come first. Default 0. */
  readonly history?: number;
  /** Neither forming klines nor tickers. */
  readonly closedOnly?: boolean;
  readonly token?: string | null;
  /** Default: the environment's own. */
  readonly WebSocket?: SocketConstructor;
}

/** The gateway's code for the end of a replay. */
const ENDED = 4007;

/** Where a replay is streamed from, for a `KlineStream`. `base` is the gateway's address. */
export function replayAddress(base: string, { from, to, speed = 60 }: ReplayRange): string {
  const times = [from, ...(to === undefined ? [] : [to])].map(Number);
  return streamAddress(base).replace(/v1\/stream$/, `replay/${times.join("/")}/${speed}x/v1/stream`);
}

/**
 * Everything in the order of the market's time, each closed kline once. Leaving the loop ends the replay. What comes faster than
 * the loop takes it waits in memory. Throws `ReplayError`.
 */
export async function* replay(base: string, options: ReplayOptions): AsyncGenerator<ReplayEvent, void, undefined> {
  const { klines = [], tickers = [] } = options;
  const names = [
    ...klines.map((market) => `kline:${market.join(":")}`),
    ...tickers.map((symbol) => `ticker:${symbol}`),
  ];
  if (names.length === 0) throw new TypeError("klines or tickers: at least one is needed");
  const channels = [...new Set(names)];
  const events = new ReplayEvents(channels, options.closedOnly === true);
  const socket = connect(options.WebSocket, () => replayAddress(base, options), options.token ?? null);
  let news = signal();
  let over: { readonly error: unknown } | null = null;
  const end = (error: unknown): void => {
    over ??= { error };
    news.resolve();
  };
  const interrupted = (why: string): void => end(new ReplayError("INTERRUPTED", `The replay was interrupted: ${why}.`));
  const watch = () => setTimeout(() => interrupted(`no message for ${SILENCE_MS / 1_000} s`), SILENCE_MS);
  let silence = watch();
  socket.onerror = () => {}; // a close always follows
  socket.onclose = ({ code }: { code: number }) => (code === ENDED ? end(null) : interrupted(`close code ${code}`));
  socket.onmessage = ({ data }: { data: unknown }) => {
    clearTimeout(silence);
    silence = watch();
    const message = decode(data);
    try {
      if (message?.op === "hello")
        for (const command of commands(channels, options)) socket.send(JSON.stringify(command));
      else if (message !== null) events.add(message);
      news.resolve();
    } catch (error) {
      end(error);
    }
  };
  try {
    for (;;) {
      news = signal();
      const ready = events.take();
      for (const event of ready) yield event;
      if (ready.length > 0) continue;
      if (over !== null) break;
      await news.promise;
    }
    const { error } = over as { readonly error: unknown };
    if (error !== null) throw error;
  } finally {
    clearTimeout(silence);
    socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

function signal(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve: () => resolve() };
}

/** All channels in one command: the market's time stands still until then. */
function commands(
  channels: readonly string[],
  { history = 0, closedOnly = false }: ReplayOptions,
): readonly ClientCommand[] {
  const subscribe = { op: "subscribe", id: 2, channels, ...(history > 0 && { history }) } as const;
  return closedOnly ? [{ op: "set", closed_only: true }, subscribe] : [subscribe];
}
