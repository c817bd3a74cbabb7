// Node's own WebSocket: of Node 22 and up, in Node 20 behind --experimental-websocket.
import { base, Record, SYMBOL } from './record.js'

const record = new Record()
const name = SYMBOL.toLowerCase()
const socket = new WebSocket(`ws://${base}/stream?streams=${name}@kline_1s/${name}@miniTicker`)
socket.onmessage = ({ data }) => record.event(JSON.parse(data).data)
await record.enough
record.tell()
