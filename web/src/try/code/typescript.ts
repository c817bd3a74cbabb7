// Programs in TypeScript: with the project's client, and with what every browser has. Pure.

import { type Choice, hasKlines, hasTicker } from "../choice";
import { target } from "../dialects";
import { addresses, lines, type Place, quoted } from "./text";

/** A page is given its token by whoever is signed in. */
const TOKEN = 'const token = sessionStorage.getItem("token") ?? "";';

export function typescriptClient(choice: Choice, place: Place): string {
  const { dialect } = choice;
  const [symbol, interval] = [quoted(choice.symbol), quoted(choice.interval)];
  const [klines, ticker] = [hasKlines(choice), hasTicker(choice)];
  const http = dialect === "http";
  const base = quoted(place.base);
  const service = klines && http && !ticker ? null : "KlineDataService";
  return lines(
    "// npm install kline-gateway-client",
    dialect === "native" || http ? null : "// The client speaks the native protocol; the data are the same.",
    service ? `import { ${service} } from "kline-gateway-client";` : null,
    http && klines ? 'import { fetchKlines } from "kline-gateway-client/history";' : null,
    "",
    place.token ? TOKEN : null,
    http && klines
      ? lines(
          `const { klines } = await fetchKlines(${base}, { symbol: ${symbol}, interval: ${interval}, limit: 5 }${place.token ? ", { token }" : ""});`,
          "for (const kline of klines) console.log(new Date(kline.openTime).toISOString(), kline.close);",
        ).trimEnd()
      : null,
    service
      ? `const service = new KlineDataService({ url: ${base}${place.token ? ", token: () => token" : ""} });`
      : null,
    klines && !http
      ? lines(
          `service.subscribe(${symbol}, ${interval}, (kline) => {`,
          '  console.log(new Date(kline.openTime).toISOString(), kline.close, kline.isClosed ? "closed" : "forming");',
          "});",
        ).trimEnd()
      : null,
    ticker
      ? http
        ? `const stop = service.ticker(${symbol}, (ticker) => {\n  console.log(ticker.c);\n  stop();\n});`
        : `service.ticker(${symbol}, (ticker) => console.log(ticker.c));`
      : null,
  );
}

export function typescriptPlain(choice: Choice, place: Place): string {
  const { kind, subprotocol, first } = target(choice);
  const { url, urls } = addresses(choice, place);
  if (kind === "http") return withFetch(url, urls, place);
  if (kind === "events") return place.token ? withReader(url) : withEventSource(url);
  const names = [
    ...(subprotocol === null ? [] : [quoted(subprotocol)]),
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the program's template.
    ...(place.token && subprotocol !== null ? ["`kline.token.${token}`"] : []),
  ];
  return lines(
    place.token && subprotocol === null
      ? "// A page cannot send a token here, for it cannot set headers: take the native dialect, or a program that can.\n"
      : null,
    place.token && subprotocol !== null ? TOKEN : null,
    `const socket = new WebSocket(${[quoted(url), ...(names.length === 0 ? [] : [`[${names.join(", ")}]`])].join(", ")});`,
    ...first.map((text) => `socket.onopen = () => socket.send(JSON.stringify(${literal(text)}));`),
    "socket.onmessage = ({ data }) => console.log(data);",
    'socket.onclose = ({ code, reason }) => console.log("closed", code, reason);',
  );
}

function withFetch(url: string, urls: readonly string[], place: Place): string {
  const options = place.token ? ", { headers: { authorization: `Bearer $" + "{token}` } }" : "";
  return lines(
    place.token ? TOKEN : null,
    urls.length === 1
      ? `const response = await fetch(${quoted(url)}${options});\nconsole.log(response.status, await response.json());`
      : lines(
          `for (const url of [\n${urls.map((each) => `  ${quoted(each)},`).join("\n")}\n]) {`,
          `  const response = await fetch(url${options});`,
          "  console.log(response.status, await response.json());",
          "}",
        ).trimEnd(),
  );
}

function withEventSource(url: string): string {
  return lines(
    `const source = new EventSource(${quoted(url)});`,
    "source.onmessage = ({ data, lastEventId }) => console.log(lastEventId, data);",
    'source.onerror = () => console.log("disconnected");',
  );
}

/** `EventSource` cannot send a token. */
function withReader(url: string): string {
  return lines(
    TOKEN,
    `const response = await fetch(${quoted(url)}, { headers: { authorization: \`Bearer $\{token}\` } });`,
    "const reader = response.body?.getReader();",
    "const decoder = new TextDecoder();",
    "for (;;) {",
    "  const part = await reader?.read();",
    "  if (part?.value === undefined) break;",
    "  console.log(decoder.decode(part.value, { stream: true }));",
    "}",
  );
}

/** `{"op":"list"}` as a person writes it: `{ op: "list" }`. */
function literal(json: string): string {
  const value = (part: unknown): string => {
    if (Array.isArray(part)) return `[${part.map(value).join(", ")}]`;
    if (typeof part !== "object" || part === null) return JSON.stringify(part);
    return `{ ${Object.entries(part)
      .map(([name, field]) => `${name}: ${value(field)}`)
      .join(", ")} }`;
  };
  return value(JSON.parse(json));
}
