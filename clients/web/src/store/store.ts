// What components read of a service: one value a market, shared by all who read it.

import { seriesOf } from "../client/fold.ts";
import type { KlineDataService, KlinesAnswer } from "../client/index.ts";
import { Cell } from "./cell.ts";
import { ageCell, type ConnectionState, connectionCell } from "./connection.ts";
import { Frames, type Schedule } from "./frames.ts";
import { type KlinesState, klinesCell } from "./klines.ts";
import type { Readable } from "./readable.ts";
import { type TickerState, tickerCell, tickersCell } from "./tickers.ts";

export interface StoreOptions {
  /** Answers that a server has fetched and rendered: what it was given, and what its page is given. */
  readonly initial?: readonly KlinesAnswer[];
  /** Default: the frames of the screen. */
  readonly schedule?: Schedule;
}

/** What a chart begins with. */
export const HISTORY = 500;

export class MarketStore {
  readonly service: KlineDataService;
  readonly connection: Readable<ConnectionState>;
  /** Whole seconds since the data was up to date: since the gateway's last message, or longer while its source is away; `null`: never. */
  readonly age: Readable<number | null>;
  readonly #frames: Frames;
  readonly #rendered: ReadonlyMap<string, KlinesAnswer>;
  /** Without subscribers a cell holds no data, so all that were ever read may stay. */
  readonly #klines = new Map<string, Readable<KlinesState>>();
  readonly #tickers = new Map<string, Readable<TickerState>>();
  readonly #retries = new Set<() => void>();

  constructor(service: KlineDataService, { initial = [], schedule }: StoreOptions = {}) {
    this.service = service;
    this.#frames = new Frames(schedule);
    this.#rendered = new Map(initial.map((answer) => [`${answer.symbol}:${answer.interval}`, answer]));
    for (const answer of initial) service.preload(answer);
    this.connection = new Cell(this.#frames, connectionCell(service.stream));
    this.age = new Cell(this.#frames, ageCell(service.stream));
  }

  /** `history`: closed klines to show. The same object for the same arguments. */
  klines(symbol: string, interval: string, history = HISTORY): Readable<KlinesState> {
    const market = { symbol, interval, history };
    return getOrCreate(this.#klines, `${symbol}:${interval}:${history}`, () => {
      const rendered = this.#rendered.get(`${symbol}:${interval}`);
      return new Cell(this.#frames, klinesCell(this.service, market, rendered && seriesOf(rendered.klines)));
    });
  }

  /** The same object for the same symbol. */
  ticker(symbol: string): Readable<TickerState> {
    return getOrCreate(this.#tickers, symbol, () => new Cell(this.#frames, tickerCell(this.service, symbol)));
  }

  /** Several at once; a new object at each call. */
  tickers(symbols: readonly string[]): Readable<ReadonlyMap<string, TickerState>> {
    return new Cell(this.#frames, tickersCell(this.service, symbols));
  }

  /** Connects again at once, if the connection waits or was refused; an open one is checked. Whoever shows an error tries again. */
  retry(): void {
    this.service.check();
    for (const listener of [...this.#retries]) listener();
  }

  /** Calls `again` at each `retry`, whoever asks for it; returns a function that stops it. */
  onRetry(again: () => void): () => void {
    const listener = (): void => again();
    this.#retries.add(listener);
    return () => void this.#retries.delete(listener);
  }
}

function getOrCreate<T>(all: Map<string, T>, key: string, create: () => T): T {
  const found = all.get(key);
  if (found !== undefined) return found;
  const created = create();
  all.set(key, created);
  return created;
}
