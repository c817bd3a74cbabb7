// Years of daily bars over TradingView's UDF, page by page from the newest to the beginning: node download.js HOST:PORT
import { base, SYMBOL } from './record.js'

const COUNTBACK = 100
const DAY_S = 86400

const bars = []
let to = Math.floor(Date.now() / 1000) + DAY_S
for (;;) {
  const asked = { symbol: SYMBOL, resolution: '1D', from: to - COUNTBACK * DAY_S, to, countback: COUNTBACK }
  const answer = await (await fetch(`http://${base}/udf/history?${new URLSearchParams(asked)}`)).json()
  if (answer.s === 'no_data') break
  if (answer.s !== 'ok') throw new Error(answer.errmsg)
  const { t, o, h, l, c, v } = answer
  bars.unshift(...t.map((time, place) => [time * 1000, o[place], h[place], l[place], c[place], v[place]]))
  to = t[0]
}
console.log(JSON.stringify({ UDF: bars }))
