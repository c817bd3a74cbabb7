// supabase-js, as an app uses it: edge functions, a call of a procedure, and a channel of Realtime.
import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'

import { base, Record, SYMBOL } from './record.js'

const record = new Record()
// The key of a project elsewhere: a JWT that this gateway cannot verify.
const part = (content) => Buffer.from(JSON.stringify(content)).toString('base64url')
const key = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ iss: 'supabase', ref: 'elsewhere', role: 'anon' })}.c2lnbmVk`
const client = createClient(`http://${base}`, key, { realtime: { transport: WebSocket } })

async function invoke(name, body) {
  const { data, error } = await client.functions.invoke(name, { body })
  if (error) throw error
  return data
}

record.more.ping = (await client.rpc('ping')).data
const answer = await invoke('get-klines', { symbol: SYMBOL, timeframe: '1s', limit: 4 })
for (const kline of answer.klines.filter((kline) => kline.isClosed)) {
  record.row([kline.openTime, kline.open, kline.high, kline.low, kline.close, kline.volume])
}
record.more.count = [answer.count, answer.klines.length]
record.more.names = Object.keys(answer.ticker)

record.more.statuses = []
const channel = client
  .channel(`klines:${SYMBOL}:1s`)
  .on('broadcast', { event: 'kline_update' }, ({ payload }) => {
    const { openTime, open, high, low, close, volume, isClosed, trades, closeTime } = payload.kline
    const more = { symbol: payload.symbol, interval: payload.timeframe, close_ms: closeTime, trades }
    record.kline(openTime, [open, high, low, close], volume, isClosed, more)
  })
  .subscribe((status, error) => record.more.statuses.push(error ? `${status}: ${error.message}` : status))
const unknown = client.channel('klines:GONEUSDT:1s').subscribe((status, error) => {
  if (error) record.more.refused = [status, error.message]
})

const price = setInterval(async () => {
  const { symbol, price } = await invoke('get-ticker', { symbol: SYMBOL })
  record.ticker(symbol, price)
}, 300)
await record.enough
clearInterval(price)
record.more.left = [await client.removeChannel(channel), await client.removeChannel(unknown)]
record.tell()
