// The searchable list of markets with live prices. Only rows one can see are subscribed to and painted:
// a list of a thousand markets costs what fits the screen.

import { allBars, type KlineDataService, type Subscription, type Ticker } from "kline-gateway-client";
import { make, oncePerFrame, setData, setText } from "./dom";
import { pair, percent, price, sign } from "./format";
import { digitsOfTicker } from "./precision";
import { HEIGHT, sparkPath, type sparkQuery, WIDTH } from "./sparkline";

interface Row {
  readonly symbol: string;
  readonly item: HTMLElement;
  readonly price: HTMLElement;
  readonly change: HTMLElement;
  readonly spark: SVGPathElement;
  subscription: Subscription | null;
  ticker: Ticker | null;
  digits: number;
  last: number;
  closes: readonly number[];
  /** While the sparkline's past is on its way. */
  reading: Subscription | null;
  drawn: number;
}

/** Rows that only fly past while scrolling are not asked for. */
const SETTLE_MS = 120;
const SPARKS_MS = 1_000;
const FLASH_MS = 300;
/** How often flashes that are over are taken away, all in one go. */
const SWEEP_MS = 100;
const GHOSTS = 24;
const SVG = "http://www.w3.org/2000/svg";

export interface MarketElements {
  readonly list: HTMLElement;
  readonly search: HTMLInputElement;
  readonly none: HTMLElement;
}

export interface MarketEvents {
  chosen(symbol: string): void;
  /** The pointer rests on it, or the keys have come to it. */
  considered(symbol: string): void;
}

export class MarketList {
  readonly #list: HTMLElement;
  readonly #search: HTMLInputElement;
  readonly #none: HTMLElement;
  readonly #service: KlineDataService;
  readonly #events: MarketEvents;
  readonly #rows = new Map<string, Row>();
  readonly #visible = new Set<Row>();
  readonly #changed = new Set<Row>();
  /** Since when, the oldest first. */
  readonly #flashing = new Map<Row, number>();
  readonly #observer: IntersectionObserver;
  readonly #paintSoon = oncePerFrame(() => this.#paint());
  #settling: ReturnType<typeof setTimeout> | undefined;
  #query: ReturnType<typeof sparkQuery> = null;
  #active: Row | null = null;
  #chosen = "";

  constructor(elements: MarketElements, service: KlineDataService, events: MarketEvents) {
    this.#list = elements.list;
    this.#search = elements.search;
    this.#none = elements.none;
    this.#service = service;
    this.#events = events;
    this.#observer = new IntersectionObserver((entries) => this.#seen(entries), { root: this.#list });
    this.#search.addEventListener("input", () => this.#filter());
    this.#search.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("click", (event) => {
      const symbol = symbolAt(event);
      if (symbol !== undefined) events.chosen(symbol);
    });
    this.#list.addEventListener("pointerover", (event) => {
      const symbol = symbolAt(event);
      if (symbol !== undefined && event.pointerType === "mouse") events.considered(symbol);
    });
    for (let count = 0; count < GHOSTS; count += 1) this.#list.append(ghost());
    setInterval(() => this.#paintSparks(), SPARKS_MS);
    setInterval(() => this.#endFlashes(), SWEEP_MS);
  }

  show(symbols: readonly string[], chosen: string, query: ReturnType<typeof sparkQuery>): void {
    this.#query = query;
    if (symbols.length > 0 && this.#rows.size === 0) this.#list.replaceChildren();
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

  /** The market so many rows below the chosen one. */
  neighbour(step: number): string | null {
    const shown = this.#shown();
    const at = shown.findIndex((row) => row.symbol === this.#chosen);
    return shown[(at + step + shown.length) % shown.length]?.symbol ?? null;
  }

  #add(symbol: string): void {
    const { base, quote } = pair(symbol);
    const item = make("div", "market");
    item.id = `market-${symbol}`;
    item.role = "option";
    item.dataset["symbol"] = symbol;
    const name = make("span", "market-name", base);
    if (quote !== "") name.append(make("small", "", `/${quote}`));
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "spark");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("aria-hidden", "true");
    const row: Row = {
      symbol,
      item,
      price: make("span", "market-price", "–"),
      change: make("span", "market-change"),
      spark: document.createElementNS(SVG, "path"),
      subscription: null,
      ticker: null,
      digits: 0,
      last: 0,
      closes: [],
      reading: null,
      drawn: 0,
    };
    svg.append(row.spark);
    item.append(name, svg, row.price, row.change);
    this.#rows.set(symbol, row);
    this.#list.append(item);
    this.#observer.observe(item);
  }

  #remove(row: Row): void {
    this.#observer.unobserve(row.item);
    row.subscription?.close();
    stopReading(row);
    row.item.remove();
    this.#visible.delete(row);
    this.#changed.delete(row);
    this.#flashing.delete(row);
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
        row.subscription ??= this.#service.stream.ticker(row.symbol, (event) => {
          if (event.kind !== "ticker") return;
          row.ticker = event.ticker;
          this.#changed.add(row);
          this.#paintSoon();
        });
      } else {
        row.subscription?.close();
        row.subscription = null;
        stopReading(row);
      }
    }
    this.#readSparks();
  }

  #paint(): void {
    const now = performance.now();
    for (const row of this.#changed) {
      if (!showTicker(row)) continue;
      this.#flashing.delete(row);
      this.#flashing.set(row, now);
    }
    this.#changed.clear();
  }

  #endFlashes(): void {
    const now = performance.now();
    for (const [row, since] of this.#flashing) {
      if (now - since < FLASH_MS) break;
      delete row.price.dataset["flash"];
      this.#flashing.delete(row);
    }
  }

  /** Through the stream, all visible ones in one command: so many requests by themselves would be too many. */
  #readSparks(): void {
    if (this.#query === null) return;
    const { interval, bars } = this.#query;
    for (const row of this.#visible) {
      if (row.reading !== null || row.closes.length > 0) continue;
      row.reading = this.#service.stream.klines(row.symbol, interval, bars, (event) => {
        if (event.kind === "reset") {
          row.closes = allBars(event.series)
            .slice(-bars)
            .map((kline) => kline.close);
          drawSpark(row);
        }
        // It is the gateway's word now, and one look is enough.
        if (event.kind === "status" && event.status.state !== "waiting") queueMicrotask(() => stopReading(row));
      });
    }
  }

  /** The line's end follows the price, but not at every tick of it. */
  #paintSparks(): void {
    for (const row of this.#visible) if (row.last !== row.drawn) drawSpark(row);
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
      this.#events.chosen(this.#active.symbol);
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
    this.#events.considered(next.symbol);
    next.item.scrollIntoView({ block: "nearest" });
  }
}

function symbolAt(event: Event): string | undefined {
  return (event.target as HTMLElement).closest<HTMLElement>(".market")?.dataset["symbol"];
}

function ghost(): HTMLElement {
  const item = make("div", "market ghosts");
  item.ariaHidden = "true";
  item.append(...["a", "b", "c", "d"].map(() => make("span", "ghost", "00000")));
  return item;
}

/** Tells whether the price has moved. */
function showTicker(row: Row): boolean {
  const { c, P } = row.ticker ?? {};
  if (c === undefined) return false;
  row.digits = Math.max(row.digits, digitsOfTicker(row.ticker));
  setText(row.price, price(c, row.digits));
  const moved = row.last !== 0 && c !== row.last;
  if (moved) {
    setData(row.price, "move", c > row.last ? "up" : "down");
    setData(row.price, "flash", "");
  }
  row.last = c;
  if (P !== undefined) {
    setText(row.change, percent(P));
    setData(row.change, "sign", sign(P));
    setData(row.item, "sign", sign(P));
  }
  return moved;
}

function stopReading(row: Row): void {
  row.reading?.close();
  row.reading = null;
}

function drawSpark(row: Row): void {
  const closes = row.closes ?? [];
  row.drawn = row.last;
  if (closes.length > 0)
    row.spark.setAttribute("d", sparkPath(row.last === 0 ? closes : [...closes.slice(0, -1), row.last]));
}
