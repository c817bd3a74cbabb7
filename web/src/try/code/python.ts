// Programs in Python: with the project's client, and with what everybody has. Pure.

import { type Choice, hasKlines, hasTicker } from "../choice";
import { target } from "../dialects";
import { addresses, lines, type Place, quoted, TOKEN } from "./text";

const HEADERS = `headers = {"Authorization": "Bearer " + os.environ["${TOKEN}"]}`;

export function pythonClient(choice: Choice, place: Place): string {
  const { dialect } = choice;
  const symbol = quoted(choice.symbol);
  const [klines, ticker] = [hasKlines(choice), hasTicker(choice)];
  const options = [
    quoted(place.base),
    ...(place.token ? [`token=os.environ["${TOKEN}"]`] : []),
    ...(dialect === "compact" ? ["compact=True"] : []),
  ];
  const head = lines(
    "# pip install kline-gateway-client",
    dialect === "binance" || dialect === "events"
      ? "# The client speaks the native protocol; the data are the same."
      : null,
    "import asyncio",
    place.token ? "import os" : null,
    "",
    "from kline_gateway_client import Client",
    "",
  );
  const open = `    async with Client(${options.join(", ")}) as client:`;
  if (dialect === "http") {
    return `${head}${lines(
      "",
      "async def main():",
      open,
      klines ? `        for kline in await client.history(${symbol}, ${quoted(choice.interval)}, limit=5):` : null,
      klines ? "            print(kline.open_time, kline.close, kline.volume)" : null,
      ticker ? `        async for ticker in client.tickers(${symbol}):` : null,
      ticker ? "            print(ticker.symbol, ticker.last)" : null,
      ticker ? "            break" : null,
      "",
      "",
      "asyncio.run(main())",
    )}`;
  }
  const tasks = [...(klines ? ["print_klines(client)"] : []), ...(ticker ? ["print_ticker(client)"] : [])];
  return `${head}${klines ? printKlines(symbol, quoted(choice.interval)) : ""}${ticker ? printTicker(symbol) : ""}${lines(
    "",
    "async def main():",
    open,
    tasks.length === 1 ? `        await ${tasks[0]}` : `        await asyncio.gather(${tasks.join(", ")})`,
    "",
    "",
    "asyncio.run(main())",
  )}`;
}

function printKlines(symbol: string, interval: string): string {
  return lines(
    "",
    "async def print_klines(client):",
    `    async for kline in client.klines(${symbol}, ${interval}):`,
    '        print(kline.open_time, kline.close, "closed" if kline.closed else "forming")',
    "",
  );
}

function printTicker(symbol: string): string {
  return lines(
    "",
    "async def print_ticker(client):",
    `    async for ticker in client.tickers(${symbol}):`,
    "        print(ticker.symbol, ticker.last)",
    "",
  );
}

export function pythonPlain(choice: Choice, place: Place): string {
  const { kind, subprotocol, first } = target(choice);
  const { url, urls } = addresses(choice, place);
  if (kind !== "socket") return withUrllib(url, urls, place, kind);
  const options = [
    quoted(url),
    ...(subprotocol === null ? [] : [`subprotocols=[${quoted(subprotocol)}]`]),
    ...(place.token ? ["additional_headers=headers"] : []),
  ];
  return lines(
    "# pip install websockets",
    place.token ? "import os\n" : null,
    "from websockets.sync.client import connect",
    "",
    place.token ? HEADERS : null,
    `with connect(${options.join(", ")}) as websocket:`,
    ...first.map((text) => `    websocket.send(${quoted(text)})`),
    "    for message in websocket:",
    "        print(message)",
  );
}

function withUrllib(url: string, urls: readonly string[], place: Place, kind: "events" | "http"): string {
  const request = place.token ? "urllib.request.Request(url, headers=headers)" : "url";
  return lines(
    place.token ? "import os" : null,
    "import urllib.request",
    "",
    place.token ? HEADERS : null,
    urls.length === 1
      ? `url = ${quoted(url)}`
      : `for url in (\n${urls.map((each) => `    ${quoted(each)},`).join("\n")}\n):`,
    ...(kind === "events"
      ? [
          `with urllib.request.urlopen(${request}) as stream:`,
          "    for line in stream:",
          "        print(line.decode().rstrip())",
        ]
      : [`with urllib.request.urlopen(${request}) as answer:`, "    print(answer.read().decode())"]
    ).map((line) => (urls.length === 1 ? line : `    ${line}`)),
  );
}
