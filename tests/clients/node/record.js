// What a client library heard, told on stdout as JSON for the test to judge; the same as scripts/record.py.

export const SYMBOL = 'BTCUSDT'
const BARS_ENOUGH = 3
const PRICES_ENOUGH = 3

// The gateway's address, `host:port`; and the same behind TLS (NODE_EXTRA_CA_CERTS names the certificate to trust).
export const [base, tlsBase] = process.argv.slice(2)

export class Record {
  #bars = new Set()
  #prices = new Set()
  klines = []
  tickers = []
  rows = []
  more = {}

  constructor() {
    this.enough = new Promise((resolve) => {
      this.resolve = resolve
    })
  }

  // `closed` null: the library does not say. `prices`: open, high, low, close.
  kline(openMs, prices, volume, closed, more = {}) {
    this.klines.push({ ...kline(openMs, prices, volume), closed, ...more })
    if (closed !== false) this.#bars.add(openMs)
    this.#check()
  }

  ticker(symbol, last) {
    this.tickers.push({ symbol, last: String(last) })
    this.#prices.add(String(last))
    this.#check()
  }

  // An event of a stream as it came; what is none (the reply to a command) is passed over.
  event(event) {
    if (event.e === 'kline') {
      const k = event.k
      const more = { symbol: k.s, interval: k.i, event_ms: event.E, close_ms: k.T, trades: k.n }
      this.kline(k.t, [k.o, k.h, k.l, k.c], k.v, k.x, more)
    } else if (event.e === '24hrMiniTicker' || event.e === '24hrTicker') {
      this.ticker(event.s, event.c)
    }
  }

  // A kline as REST has it, or as ccxt does: time, open, high, low, close, volume.
  row(row) {
    this.rows.push(kline(row[0], row.slice(1, 5), row[5]))
  }

  get hasEnough() {
    // Without a flag the last bar may still be open.
    const bars = this.#bars.size - (this.klines[0]?.closed === null ? 1 : 0)
    return bars >= BARS_ENOUGH && this.#prices.size >= PRICES_ENOUGH
  }

  tell() {
    const { klines, tickers, rows, more } = this
    process.stdout.write(JSON.stringify({ klines, tickers, rows, more, interval: '1s' }) + '\n', () => process.exit(0))
  }

  #check() {
    if (this.hasEnough) this.resolve()
  }
}

function kline(openMs, prices, volume) {
  return { open_ms: openMs, prices: prices.map(String), volume: String(volume) }
}
