// What a message is, and its code if it is an error. Pure.

export interface Described {
  readonly label: string;
  readonly code: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** A message of any dialect, or the body of an answer. */
export function describe(text: string): Described {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { label: "text", code: "" };
  }
  if (Array.isArray(value)) return { label: typeof value[0] === "number" ? "update" : "list", code: "" };
  if (!isFields(value)) return { label: "value", code: "" };
  return { label: label(value), code: code(value) };
}

function label(fields: Fields): string {
  const { op, method, data, e, error, code, symbol } = fields;
  if (typeof op === "string") return op;
  if (typeof method === "string") return method;
  if (isFields(data)) return label(data);
  if (typeof e === "string") return e;
  if (error !== undefined || code !== undefined) return "error";
  if ("result" in fields) return "result";
  return "klines" in fields ? "klines" : "c" in fields || symbol !== undefined ? "ticker" : "object";
}

function code(fields: Fields): string {
  const { op, error, channels } = fields;
  // Native over WebSocket and over HTTP, Binance over HTTP.
  if (op === "error" || (op === undefined && ("error" in fields || "msg" in fields))) {
    // Binance over WebSocket.
    const of = isFields(error) ? error : fields;
    return of["code"] === undefined ? "" : String(of["code"]);
  }
  if (op === "close") return String(fields["code"]);
  if (op !== "subscribed" || !isFields(channels)) return "";
  // A channel that cannot be had is answered beside those that can.
  const refused = Object.values(channels).find((channel) => isFields(channel) && isFields(channel["error"]));
  return isFields(refused) ? code({ error: refused["error"] }) : "";
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What the protocol says about a close code; "": nothing. */
export function closeMeaning(code: number): string {
  return CLOSES[code] ?? "";
}

const CLOSES: Readonly<Record<number, string>> = {
  1000: "A normal end.",
  1001: "A normal end.",
  1003: "Commands are text, not binary.",
  1005: "A normal end.",
  1006: "The connection was cut, or refused.",
  1008: "Too many pings, or a message in too many frames.",
  1009: "The message was larger than max_message_bytes.",
  1011: "An internal error of the gateway. Reconnect.",
  1012: "A restart. Reconnect with resume, after a random time.",
  1013: "Overloaded. Reconnect after a random time.",
  4000: "The client read nothing for too long. Reconnect with resume.",
  4001: "No answer to pings. Reconnect with resume.",
  4002: "The client kept sending too many messages.",
  4003: "Nothing was subscribed in time.",
  4004: "No valid token: none was sent in time, or it was revoked.",
  4005: "The token has expired. Reconnect with a new one.",
  4006: "A closed kline cannot be sent in order any more. Reconnect, and read klines again.",
  4007: "The replay has come to its end.",
};
