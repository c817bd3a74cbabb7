// node-binance-api: REST and streams by `urls`, the streams of two symbols combined; its base URLs end in a slash.
import Binance from 'node-binance-api'

import { base, Record, SYMBOL } from './record.js'

const record = new Record()
const urls = { base: `http://${base}/api/`, stream: `ws://${base}/ws/`, combineStream: `ws://${base}/stream?streams=` }
const client = new Binance({ urls, reconnect: false })
record.more.price = (await client.prices(SYMBOL))[SYMBOL]
record.more.symbols = (await client.exchangeInfo()).symbols.map(({ symbol }) => symbol)
record.more.days = (await client.prevDay()).length
for (const row of (await client.candlesticks(SYMBOL, '1s', { limit: 5 })).slice(0, -1)) {
  record.row([row.openTime, row.open, row.high, row.low, row.close, row.volume])
}
const combined = new Set()
client.candlesticksStream(SYMBOL, '1s', (event) => record.event(event))
client.prevDayStream(SYMBOL, (_, day) => record.ticker(day.symbol, day.close))
const both = new Promise((resolve) => {
  client.candlesticksStream([SYMBOL, 'ETHUSDT'], '1s', ({ s }) => combined.add(s).size === 2 && resolve())
})
await Promise.all([record.enough, both])
record.tell()
