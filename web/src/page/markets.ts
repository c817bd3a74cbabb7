// The searchable list of markets with live prices. Only rows one can see are subscribed to:
// a list of a thousand markets costs what fits the screen.

import type { KlineStream, Subscription, Ticker } from "../client";
import { make, setText } from "./dom";
import { pair, percent, price, sign } from "./format";
import { digitsOfTicker } from "./precision";

interface Row {
  readonly symbol: string;
  readonly item: HTMLElement;
  readonly price: HTMLElement;
  readonly change: HTMLElement;
  subscription: Subscription | null;
  digits: number;
  last: number;
}

/** Rows that only fly past while scrolling are not asked for. */
const SETTLE_MS = 120;

export class MarketList {
  readonly #list: HTMLElement;
  readonly #search: HTMLInputElement;
  readonly #none: HTMLElement;
  readonly #stream: KlineStream;
  readonly #choose: (symbol: string) => void;
  readonly #rows = new Map<string, Row>();
  readonly #visible = new Set<Row>();
  readonly #observer: IntersectionObserver;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #active: Row | null = null;
  #chosen = "";

  constructor(
    elements: { list: HTMLElement; search: HTMLInputElement; none: HTMLElement },
    stream: KlineStream,
    choose: (symbol: string) => void,
  ) {
    this.#list = elements.list;
    this.#search = elements.search;
    this.#none = elements.none;
    this.#stream = stream;
    this.#choose = choose;
    this.#observer = new IntersectionObserver((entries) => this.#seen(entries), { root: this.#list });
    this.#search.addEventListener("input", () => this.#filter());
    this.#search.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("click", (event) => {
      const symbol = (event.target as HTMLElement).closest<HTMLElement>(".market")?.dataset["symbol"];
      if (symbol !== undefined) this.#choose(symbol);
    });
  }

  show(symbols: readonly string[], chosen: string): void {
    const wanted = new Set(symbols);
    for (const [symbol, row] of this.#rows) if (!wanted.has(symbol)) this.#remove(row);
    for (const symbol of symbols) if (!this.#rows.has(symbol)) this.#add(symbol);
    const moved = chosen !== this.#chosen;
    this.#chosen = chosen;
    for (const row of this.#rows.values()) row.item.toggleAttribute("data-chosen", row.symbol === chosen);
    this.#filter();
    if (moved) this.#rows.get(chosen)?.item.scrollIntoView({ block: "nearest" });
  }

  focus(): void {
    this.#search.focus();
    this.#search.select();
  }

  clear(): void {
    this.#search.value = "";
    this.#filter();
  }

  #add(symbol: string): void {
    const { base, quote } = pair(symbol);
    const item = make("div", "market");
    item.id = `market-${symbol}`;
    item.role = "option";
    item.dataset["symbol"] = symbol;
    const name = make("span", "market-name", base);
    if (quote !== "") name.append(make("small", "", `/${quote}`));
    const row: Row = {
      symbol,
      item,
      price: make("span", "market-price", "–"),
      change: make("span", "market-change"),
      subscription: null,
      digits: 0,
      last: 0,
    };
    item.append(name, row.price, row.change);
    this.#rows.set(symbol, row);
    this.#list.append(item);
    this.#observer.observe(item);
  }

  #remove(row: Row): void {
    this.#observer.unobserve(row.item);
    row.subscription?.close();
    row.item.remove();
    this.#visible.delete(row);
    this.#rows.delete(row.symbol);
  }

  #seen(entries: readonly IntersectionObserverEntry[]): void {
    for (const entry of entries) {
      const row = this.#rows.get((entry.target as HTMLElement).dataset["symbol"] ?? "");
      if (row === undefined) continue;
      if (entry.isIntersecting) this.#visible.add(row);
      else this.#visible.delete(row);
    }
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#subscribeVisible(), SETTLE_MS);
  }

  #subscribeVisible(): void {
    for (const row of this.#rows.values()) {
      if (this.#visible.has(row)) {
        row.subscription ??= this.#stream.ticker(row.symbol, (event) => {
          if (event.kind === "ticker") showTicker(row, event.ticker);
        });
      } else {
        row.subscription?.close();
        row.subscription = null;
      }
    }
  }

  #shown(): Row[] {
    return [...this.#rows.values()].filter((row) => !row.item.hidden);
  }

  #filter(): void {
    const text = this.#search.value.trim().toUpperCase().replace("/", "");
    for (const row of this.#rows.values()) row.item.hidden = !row.symbol.includes(text);
    const shown = this.#shown();
    this.#none.hidden = shown.length > 0 || this.#rows.size === 0;
    this.#activate(text === "" ? (this.#rows.get(this.#chosen) ?? null) : (shown[0] ?? null));
  }

  #activate(row: Row | null): void {
    this.#active?.item.setAttribute("aria-selected", "false");
    this.#active = row;
    row?.item.setAttribute("aria-selected", "true");
    this.#search.setAttribute("aria-activedescendant", row?.item.id ?? "");
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Enter" && this.#active !== null) {
      event.preventDefault();
      this.#choose(this.#active.symbol);
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const shown = this.#shown();
    const at = this.#active === null ? -step : shown.indexOf(this.#active);
    const next = shown[(at + step + shown.length) % shown.length];
    if (next === undefined) return;
    this.#activate(next);
    next.item.scrollIntoView({ block: "nearest" });
  }
}

function showTicker(row: Row, ticker: Ticker): void {
  const { c, P } = ticker;
  if (c === undefined) return;
  row.digits = Math.max(row.digits, digitsOfTicker(ticker));
  setText(row.price, price(c, row.digits));
  if (row.last !== 0 && c !== row.last) row.price.dataset["move"] = c > row.last ? "up" : "down";
  row.last = c;
  if (P === undefined) return;
  setText(row.change, percent(P));
  row.change.dataset["sign"] = sign(P);
}
