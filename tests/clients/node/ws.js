// ws, the package most bots of Node are built on.
import WebSocket from 'ws'

import { base, Record, SYMBOL } from './record.js'

const record = new Record()
const name = SYMBOL.toLowerCase()
const socket = new WebSocket(`ws://${base}/ws`)
socket.on('open', () => {
  socket.send(JSON.stringify({ method: 'SUBSCRIBE', params: [`${name}@kline_1s`, `${name}@ticker`], id: 1 }))
  socket.ping('still there?')
})
socket.on('pong', (payload) => {
  record.more.pong = payload.toString()
})
socket.on('message', (text) => record.event(JSON.parse(text)))
await record.enough
record.tell()
