// @binance/spot: Binance's own, for REST and streams. It takes https and wss addresses only.
import { Spot } from '@binance/spot'

import { Record, SYMBOL, tlsBase } from './record.js'

const record = new Record()
const client = new Spot({
  configurationRestAPI: { basePath: `https://${tlsBase}` },
  configurationWebsocketStreams: { wsURL: `wss://${tlsBase}` },
})
const rows = await (await client.restAPI.klines({ symbol: SYMBOL, interval: '1s', limit: 5 })).data()
for (const row of rows.slice(0, -1)) record.row(row)
record.more.symbols = (await (await client.restAPI.exchangeInfo()).data()).symbols.map(({ symbol }) => symbol)

const connection = await client.websocketStreams.connect()
const name = SYMBOL.toLowerCase()
connection.kline({ symbol: name, interval: '1s' }).on('message', (event) => record.event(event))
connection.miniTicker({ symbol: name }).on('message', (event) => record.event(event))
await record.enough
await connection.disconnect()
record.tell()
