// ccxt: REST and streams of one exchange object, by the addresses in its `urls`.
import ccxt from 'ccxt'

import { base, Record } from './record.js'

const PAIR = 'BTC/USDT'
const record = new Record()
const exchange = new ccxt.pro.binance({ options: { fetchMarkets: { types: ['spot'] } } })
// ccxt tells a spot stream by the word in its address: hence /stream/ws.
Object.assign(exchange.urls.api, { public: `http://${base}/api/v3`, ws: { spot: `ws://${base}/stream/ws` } })
// Without TLS it wants Node's plain agent, proxy or not.
await exchange.loadHttpProxyAgent()

record.more.pairs = Object.keys(await exchange.loadMarkets()).sort()
record.more.fetched = (await exchange.fetchTicker(PAIR)).last
for (const row of (await exchange.fetchOHLCV(PAIR, '1s', undefined, 5)).slice(0, -1)) record.row(row)

async function klines() {
  while (!record.hasEnough) {
    for (const row of await exchange.watchOHLCV(PAIR, '1s')) record.kline(row[0], row.slice(1, 5), row[5], null)
  }
}

async function tickers() {
  while (!record.hasEnough) {
    const ticker = await exchange.watchTicker(PAIR)
    record.ticker(ticker.info.s, ticker.last)
  }
}

await Promise.all([klines(), tickers()])
await exchange.close()
record.tell()
