// The searchable list of markets with live prices. Only visible rows are subscribed to and painted, so that a list of a
// thousand markets costs no more than what fits the screen.

import { allKlines, type KlineDataService } from "kline-gateway-client";
import { oncePerFrame } from "./dom";
import { drawSpark, makePlaceholder, makeRow, type Row, showTicker, stopReading } from "./market-row";
import { joined } from "./route";
import type { sparkQuery } from "./sparkline";

/** Rows that are visible for a shorter time while scrolling are not subscribed to. */
const SETTLE_MS = 120;
const SPARKS_MS = 1_000;
const FLASH_MS = 300;
/** How often finished flashes are removed, all together. */
const SWEEP_MS = 100;
const PLACEHOLDERS = 24;

export interface MarketElements {
  readonly list: HTMLElement;
  readonly search: HTMLInputElement;
  readonly none: HTMLElement;
}

export interface MarketEvents {
  chosen(symbol: string): void;
  /** Its star was pressed. */
  liked(symbol: string): void;
  /** The pointer rests on it, or the arrow keys have reached it. */
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
  /** Rows that flash, with the start of the flash; the oldest first. */
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
      if (symbol === undefined) return;
      if ((event.target as Element).closest(".star") === null) events.chosen(symbol);
      else events.liked(symbol);
    });
    this.#list.addEventListener("pointerover", (event) => {
      const symbol = symbolAt(event);
      if (symbol !== undefined && event.pointerType === "mouse") events.considered(symbol);
    });
    for (let count = 0; count < PLACEHOLDERS; count += 1) this.#list.append(makePlaceholder());
    setInterval(() => this.#paintSparks(), SPARKS_MS);
    setInterval(() => this.#endFlashes(), SWEEP_MS);
  }

  show(symbols: readonly string[], chosen: string, query: ReturnType<typeof sparkQuery>): void {
    this.#query = query;
    if (symbols.length > 0 && this.#rows.size === 0) this.#list.replaceChildren();
    const wanted = new Set(symbols);
    for (const [symbol, row] of this.#rows) if (!wanted.has(symbol)) this.#remove(row);
    for (const symbol of symbols) if (!this.#rows.has(symbol)) this.#add(symbol);
    this.#arrange(symbols);
    const moved = chosen !== this.#chosen;
    this.#chosen = chosen;
    for (const row of this.#rows.values()) row.item.toggleAttribute("data-chosen", row.symbol === chosen);
    this.#filter();
    if (moved) this.#rows.get(chosen)?.item.scrollIntoView({ block: "nearest" });
  }

  /** Which rows have a full star. */
  like(favourites: readonly string[]): void {
    for (const { symbol, item } of this.#rows.values()) item.toggleAttribute("data-liked", favourites.includes(symbol));
  }

  focus(): void {
    this.#search.focus();
    this.#search.select();
  }

  clear(): void {
    this.#search.value = "";
    this.#filter();
  }

  /** The market `step` rows below the chosen one. */
  neighbour(step: number): string | null {
    const shown = this.#shown();
    const at = shown.findIndex((row) => row.symbol === this.#chosen);
    return shown[(at + step + shown.length) % shown.length]?.symbol ?? null;
  }

  #add(symbol: string): void {
    const row = makeRow(symbol);
    this.#rows.set(symbol, row);
    this.#list.append(row.item);
    this.#observer.observe(row.item);
  }

  #arrange(symbols: readonly string[]): void {
    if ([...this.#rows.keys()].join() === symbols.join()) return;
    const rows = symbols.map((symbol) => this.#rows.get(symbol) as Row);
    this.#rows.clear();
    for (const row of rows) this.#rows.set(row.symbol, row);
    this.#list.append(...rows.map(({ item }) => item));
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

  /** Reads the sparklines through the stream, all in one command: single requests would exceed the rate limit. */
  #readSparks(): void {
    if (this.#query === null) return;
    const { interval, bars: count } = this.#query;
    for (const row of this.#visible) {
      if (row.reading !== null || row.closes.length > 0) continue;
      row.reading = this.#service.stream.klines(row.symbol, interval, count, (event) => {
        if (event.kind === "reset") {
          row.closes = allKlines(event.series)
            .slice(-count)
            .map((kline) => kline.close);
          drawSpark(row);
        }
        // It is the gateway's word now, and one selected is enough.
        if (event.kind === "status" && event.status.state !== "waiting") queueMicrotask(() => stopReading(row));
      });
    }
  }

  /** The line's end follows the price, but not at each of its changes. */
  #paintSparks(): void {
    for (const row of this.#visible) if (row.last !== row.drawn) drawSpark(row);
  }

  #shown(): Row[] {
    return [...this.#rows.values()].filter((row) => !row.item.hidden);
  }

  #filter(): void {
    const text = joined(this.#search.value.trim().toUpperCase());
    for (const row of this.#rows.values()) row.item.hidden = !joined(row.symbol).includes(text);
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
  return (event.target as Element).closest<HTMLElement>(".market")?.dataset["symbol"];
}
