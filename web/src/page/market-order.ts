// Keeps the list of markets in the order that somebody has chosen: not at each price, but now and then.

import { token } from "./access";
import { choices } from "./choices";
import { base } from "./first-load";
import { listed } from "./order";

/** How often a list by change is put in order; not while the pointer is over it. */
const REORDER_MS = 15_000;

interface DayFigures {
  readonly symbol: string;
  readonly openPrice: string;
  readonly lastPrice: string;
}

export class MarketOrder {
  readonly #box: HTMLElement;
  readonly #changed: () => void;
  #changes: ReadonlyMap<string, number> = new Map();
  #symbols: readonly string[] = [];
  #order: readonly string[] = [];

  /** `box`: the list. `changed`: the order is another one. */
  constructor(box: HTMLElement, changed: () => void) {
    this.#box = box;
    this.#changed = changed;
    choices.onChange((now, before) => {
      if (now.favourites !== before.favourites) this.#sort();
      if (now.sort !== before.sort) void this.#read();
    });
    setInterval(() => void this.#read(), REORDER_MS);
  }

  of(symbols: readonly string[]): readonly string[] {
    if (symbols === this.#symbols) return this.#order;
    this.#symbols = symbols;
    this.#order = this.#listed();
    // Only now there is something to put in order.
    if (this.#byChange) void this.#read();
    return this.#order;
  }

  get #byChange(): boolean {
    return choices.now.sort === "rise" || choices.now.sort === "fall";
  }

  async #read(): Promise<void> {
    if (this.#byChange) {
      if (this.#changes.size > 0 && (this.#box.matches(":hover") || document.visibilityState === "hidden")) return;
      this.#changes = await dayChanges().catch(() => this.#changes);
    }
    this.#sort();
  }

  #sort(): void {
    const order = this.#listed();
    if (order.join() === this.#order.join()) return;
    this.#order = order;
    this.#changed();
  }

  #listed(): readonly string[] {
    const { sort, favourites } = choices.now;
    return listed(this.#symbols, { sort, favourites, changeOf: (symbol) => this.#changes.get(symbol) });
  }
}

/** Of all markets at once: the page subscribes only to those that are seen. */
async function dayChanges(): Promise<ReadonlyMap<string, number>> {
  const key = token();
  const answer = await fetch(new URL("api/v3/ticker/24hr?type=MINI", base), {
    headers: key === null ? {} : { authorization: `Bearer ${key}` },
  });
  const all = answer.ok ? ((await answer.json()) as readonly DayFigures[]) : [];
  return new Map(
    all.map(({ symbol, openPrice, lastPrice }) => [symbol, (Number(lastPrice) / Number(openPrice) - 1) * 100] as const),
  );
}
