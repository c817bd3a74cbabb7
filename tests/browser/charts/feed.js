// Klines of the gateway's Binance dialect for a chart: the past by REST, what follows by a stream, no hole in between.
const query = new URLSearchParams(location.search)
const gateway = query.get('gateway')

export const symbol = query.get('symbol')
export const interval = '1s'

/** The newest bars, oldest first; with `startTime` (ms) those from there on. Times are ms, values numbers. */
export async function past(limit, startTime = undefined) {
  const asked = new URLSearchParams({ symbol, interval, limit })
  if (startTime !== undefined) asked.set('startTime', startTime)
  const answer = await fetch(`http://${gateway}/api/v3/klines?${asked}`)
  return (await answer.json()).map(([time, ...values]) => bar(time, ...values))
}

/** Calls `onBar` with each state of the bars from `time` on (ms), the rest of the past first. */
export function follow(time, onBar) {
  const early = []
  let take = (event) => early.push(event)
  const socket = new WebSocket(`ws://${gateway}/ws/${symbol.toLowerCase()}@kline_${interval}`)
  socket.onmessage = ({ data }) => take(JSON.parse(data))
  socket.onopen = async () => {
    // The stream is on before the past is asked for: whatever closes meanwhile is in one of the two.
    const rows = await past(1000, time)
    rows.forEach(onBar)
    const last = rows.at(-1).time
    const told = ({ k }) => {
      window.states.push({ time: k.t, close: k.c, closed: k.x })
      onBar(bar(k.t, k.o, k.h, k.l, k.c, k.v))
    }
    early.filter(({ k }) => k.t >= last).forEach(told)
    take = told
  }
}

/** Every state that the stream has told, for the test to look at. */
window.states = []

const bar = (time, open, high, low, close, volume) => ({
  time,
  open: Number(open),
  high: Number(high),
  low: Number(low),
  close: Number(close),
  volume: Number(volume),
})
