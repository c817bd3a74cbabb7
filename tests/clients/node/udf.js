// TradingView's UDF, asked as its public datafeed asks: what is checked there, and what it makes of the answers.
import { base, Record, SYMBOL } from './record.js'

const RESOLUTION = '1S'
const COUNTBACK = 300
const POLL_MS = 100

const record = new Record()

async function ask(path, parameters = {}) {
  const answer = await fetch(`http://${base}/udf/${path}?${new URLSearchParams(parameters)}`)
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
  return answer
}

const json = async (path, parameters) => (await ask(path, parameters)).json()

// The configuration decides what else is asked for. One of the two must be there.
const config = await json('config')
if (config.supports_search === config.supports_group_request) throw new Error('one of search and groups')
const now = Number(await (await ask('time')).text())

// Search, then the symbol by its full name: an `s` in either answer would mean an error.
const found = await json('search', { query: SYMBOL.slice(0, 3), type: '', exchange: '', limit: 30 })
const chosen = found.find(({ symbol }) => symbol === SYMBOL)
const info = await json('symbols', { symbol: chosen.full_name })
if (info.s !== undefined) throw new Error(info.errmsg)
record.more.info = info
record.more.config = config
record.more.found = found.map(({ symbol }) => symbol)

// Seconds in, seconds out; the datafeed takes milliseconds of it and runs parseFloat over the values.
async function history(from, to, countback) {
  const asked = { symbol: info.ticker, resolution: RESOLUTION, from, to }
  if (countback !== undefined) asked.countback = countback
  const answer = await json('history', asked)
  if (answer.s !== 'ok' && answer.s !== 'no_data') throw new Error(answer.errmsg)
  const bars = (answer.t ?? []).map((time, place) => ({
    time: time * 1000,
    prices: ['o', 'h', 'l', 'c'].map((name) => parseFloat(answer[name][place])),
    volume: parseFloat(answer.v[place]),
  }))
  return { bars, noData: answer.s === 'no_data', nextTime: answer.nextTime }
}

// The first screen, and then back to the beginning: each page ends where the one before it began.
let to = now + 1
const pages = []
for (;;) {
  const page = await history(to - 60, to, COUNTBACK)
  if (page.noData) {
    record.more.end = page
    break
  }
  pages.push(page.bars.map(({ time }) => time))
  if (pages.length === 1) {
    for (const { time, prices, volume } of page.bars.slice(-5, -1)) record.row([time, ...prices, volume])
  }
  to = page.bars[0].time / 1000
}
record.more.pages = pages

// A hole ahead of the data names the bar before it.
record.more.ahead = await history(now + 3600, now + 7200)

// The pulse: the newest bars again and again; a new one brings the final state of the one before it.
let last = 0
while (!record.hasEnough) {
  const seconds = Math.floor(Date.now() / 1000)
  const { bars } = await history(seconds - 10, seconds + 1)
  last ||= bars.at(-1).time
  for (const { time, prices, volume } of bars.filter(({ time }) => time >= last)) {
    record.kline(time, prices, volume, null)
    last = time
  }
  const quotes = await json('quotes', { symbols: chosen.full_name })
  if (quotes.s !== 'ok' || quotes.d[0].s !== 'ok') throw new Error('no quote')
  if (quotes.d[0].n !== chosen.full_name) throw new Error(`quote of ${quotes.d[0].n}`)
  record.ticker(quotes.d[0].v.short_name, quotes.d[0].v.lp)
  await new Promise((resolve) => setTimeout(resolve, POLL_MS))
}

// What goes wrong is an answer, too.
const refusals = [
  'symbols?symbol=NONEUSDT',
  `history?symbol=NONEUSDT&resolution=${RESOLUTION}&from=1&to=2`,
  `history?symbol=${SYMBOL}&resolution=7&from=1&to=2`,
  `history?symbol=${SYMBOL}&resolution=${RESOLUTION}&from=soon&to=later`,
  'history',
  'symbols',
  'quotes',
]
record.more.refused = []
for (const path of refusals) {
  const answer = await fetch(`http://${base}/udf/${path}`)
  record.more.refused.push([answer.status, await answer.json()])
}
record.tell()
