// binance (tiagosiebler's): MainClient for REST, WebsocketClient for streams.
import { MainClient, WebsocketClient } from 'binance'

import { base, Record, SYMBOL } from './record.js'

const record = new Record()
const rest = new MainClient({ baseUrl: `http://${base}` })
record.more.price = (await rest.getSymbolPriceTicker({ symbol: SYMBOL })).price
record.more.symbols = (await rest.getExchangeInfo()).symbols.map(({ symbol }) => symbol)
for (const row of (await rest.getKlines({ symbol: SYMBOL, interval: '1s', limit: 5 })).slice(0, -1)) record.row(row)

const stream = new WebsocketClient({ wsUrl: `ws://${base}` })
stream.on('message', (message) => record.event(message.data ?? message))
stream.on('exception', (error) => {
  record.more.exception = String(error?.message ?? error)
})
stream.subscribeSpotKline(SYMBOL, '1s')
stream.subscribeSpotSymbolMini24hrTicker(SYMBOL)
await record.enough
record.tell()
