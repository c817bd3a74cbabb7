// binance-api-node: REST and streams by `httpBase` and `wsBase`; it renames the fields of every event.
import pkg from 'binance-api-node'

import { base, Record, SYMBOL } from './record.js'

const Binance = pkg.default ?? pkg
const record = new Record()
const client = Binance({ httpBase: `http://${base}`, wsBase: `ws://${base}/ws` })
record.more.price = (await client.prices({ symbol: SYMBOL }))[SYMBOL]
record.more.symbols = (await client.exchangeInfo()).symbols.map(({ symbol }) => symbol)
for (const row of (await client.candles({ symbol: SYMBOL, interval: '1s', limit: 5 })).slice(0, -1)) {
  record.row([row.openTime, row.open, row.high, row.low, row.close, row.volume])
}
client.ws.candles(SYMBOL, '1s', (bar) => {
  const more = { symbol: bar.symbol, interval: bar.interval, event_ms: bar.eventTime, close_ms: bar.closeTime }
  record.kline(bar.startTime, [bar.open, bar.high, bar.low, bar.close], bar.volume, bar.isFinal, more)
})
client.ws.ticker(SYMBOL, (ticker) => record.ticker(ticker.symbol, ticker.curDayClose))
await record.enough
record.tell()
