// The client's replay, beside a gateway with an archive: what comes between two times, with ten klines before, and what is
// refused. See tests/clients/test_typescript_replay.py.
import WebSocket from "ws";
import { replay } from "../../dist/client/index.js";

const SYMBOL = "BTCUSDT";
const [url, from, to] = process.argv.slice(2);
const range = { from: Number(from), to: Number(to), speed: 1000, WebSocket };

const events = [];
const markets = { klines: [[SYMBOL, "1m"]], tickers: [SYMBOL], history: 10 };
for await (const event of replay(url, { ...range, ...markets })) events.push(event);

const closedOnly = [];
const closed = replay(url, { ...range, klines: [[SYMBOL, "5m"]], tickers: [SYMBOL], closedOnly: true });
for await (const { kline } of closed) closedOnly.push(kline.isClosed);

const refused = [];
for (const wrong of [{ klines: [["NONEUSDT", "1m"]] }, { klines: [[SYMBOL, "1m"]], speed: 1001 }]) {
  await replay(url, { ...range, ...wrong })
    .next()
    .catch(({ code }) => refused.push(code));
}
process.stdout.write(JSON.stringify({ events, closedOnly, refused }));
