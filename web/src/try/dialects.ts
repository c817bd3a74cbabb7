// Where each dialect is found, what is said first, and what else may be said. Pure.

import { binanceStreams, type Choice, channels, hasKlines, hasTicker } from "./choice";

/** Closed klines to begin with: enough to see what a snapshot is. */
const HISTORY = 3;

export interface Target {
  readonly kind: "socket" | "events" | "http";
  /** Relative to the gateway's address. */
  readonly path: string;
  readonly subprotocol: string | null;
  /** Messages, or further paths, that are sent at once. */
  readonly first: readonly string[];
}

/** Something to send by hand. */
export interface Example {
  readonly name: string;
  readonly text: string;
}

export function target(choice: Choice): Target {
  const socket = { kind: "socket", path: "v1/stream" } as const;
  switch (choice.dialect) {
    case "native":
      return { ...socket, subprotocol: "kline.v1.json", first: [subscribe(choice)] };
    case "compact":
      return { ...socket, subprotocol: "kline.v1.compact", first: [subscribe(choice)] };
    case "binance":
      return { ...socket, path: `stream?streams=${binanceStreams(choice).join("/")}`, subprotocol: null, first: [] };
    case "events": {
      const names = channels(choice).map(encodeURIComponent).join(",").replaceAll("%3A", ":");
      return {
        kind: "events",
        path: `v1/stream.sse?channels=${names}&history=${HISTORY}`,
        subprotocol: null,
        first: [],
      };
    }
    case "http": {
      const [path = "", ...first] = [
        ...(hasKlines(choice) ? [`v1/klines?${query(choice)}&limit=5`] : []),
        ...(hasTicker(choice) ? [`v1/ticker?symbol=${encodeURIComponent(choice.symbol)}`] : []),
      ];
      return { kind: "http", path, subprotocol: null, first };
    }
  }
}

/** The command that a client of the native protocol begins with. */
export function subscribe(choice: Choice): string {
  const history = hasKlines(choice) ? { history: HISTORY } : {};
  return JSON.stringify({ op: "subscribe", id: 1, channels: channels(choice), ...history });
}

/** The first one is what the editor has to begin with. Some are wrong on purpose: the answer shows the code. */
export function examples(choice: Choice): readonly [Example, ...Example[]] {
  switch (choice.dialect) {
    case "native":
    case "compact":
      return nativeExamples(choice);
    case "binance":
      return binanceExamples(choice);
    case "events":
      return [{ name: "Nothing: commands are in the address", text: "" }];
    case "http":
      return httpExamples(choice);
  }
}

function nativeExamples(choice: Choice): readonly [Example, ...Example[]] {
  const command = (name: string, fields: object): Example => ({ name, text: JSON.stringify(fields) });
  return [
    command("Slower: 2 updates a second", { op: "set", id: 2, max_rate: 2 }),
    command("As fast as it goes", { op: "set", id: 3, max_rate: null }),
    command("Closed klines only", { op: "set", id: 4, closed_only: true }),
    command("With event times", { op: "set", id: 5, event_times: true }),
    command("List", { op: "list", id: 6 }),
    command("Unsubscribe", { op: "unsubscribe", id: 7, channels: channels(choice) }),
    { name: "Subscribe", text: subscribe(choice) },
    command("Ping", { op: "ping", id: 8 }),
    command("Wrong: an unknown symbol", { op: "subscribe", id: 9, channels: ["ticker:NOSUCHCOIN"] }),
    command("Wrong: an unknown command", { op: "shout", id: 10 }),
    { name: "Wrong: no JSON", text: "{op:list}" },
  ];
}

function binanceExamples(choice: Choice): readonly [Example, ...Example[]] {
  const command = (
    name: string,
    method: string,
    id: number,
    params?: readonly (string | number | boolean)[],
  ): Example => ({
    name,
    text: JSON.stringify({ method, ...(params && { params }), id }),
  });
  const streams = binanceStreams(choice).map(decodeURIComponent);
  return [
    command("List", "LIST_SUBSCRIPTIONS", 1),
    command("Unsubscribe", "UNSUBSCRIBE", 2, streams),
    command("Subscribe", "SUBSCRIBE", 3, streams),
    command("Slower: 2 updates a second", "SET_PROPERTY", 4, ["max_rate", 2]),
    command("Without the names of streams", "SET_PROPERTY", 5, ["combined", false]),
    command("Wrong: an unknown method", "SHOUT", 6),
    { name: "Wrong: no JSON", text: "{method:LIST}" },
  ];
}

function httpExamples(choice: Choice): readonly [Example, ...Example[]] {
  const symbol = encodeURIComponent(choice.symbol);
  return [
    { name: "Klines", text: `/v1/klines?${query(choice)}&limit=5` },
    { name: "Ticker", text: `/v1/ticker?symbol=${symbol}` },
    { name: "Symbols and intervals", text: "/v1/symbols" },
    { name: "Binance: klines", text: `/api/v3/klines?${query(choice)}&limit=5` },
    { name: "Binance: 24 h", text: `/api/v3/ticker/24hr?symbol=${symbol}` },
    { name: "TradingView UDF: symbol", text: `/udf/symbols?symbol=${symbol}` },
    { name: "About", text: "/v1/about" },
    { name: "Wrong: an unknown interval", text: `/v1/klines?symbol=${symbol}&interval=7m` },
    { name: "Wrong: an unknown path", text: "/v1/nothing" },
  ];
}

export function query({ symbol, interval }: Choice): string {
  return `symbol=${encodeURIComponent(symbol)}&interval=${interval}`;
}
