// One row of the list of markets: its elements, its price, its sparkline. It only paints.

import type { Subscription, Ticker } from "kline-gateway-client";
import { make, setData, setText } from "./dom";
import { pair, percent, price, sign } from "./format";
import { digitsOfTicker } from "./precision";
import { HEIGHT, sparkPath, WIDTH } from "./sparkline";

/** The elements of a row and what is known of its market. */
export interface Row {
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
  /** The sparkline's subscription until its closes have arrived. */
  reading: Subscription | null;
  /** The last price that the sparkline shows. */
  drawn: number;
}

const SVG = "http://www.w3.org/2000/svg";

export function makeRow(symbol: string): Row {
  const { base, quote } = pair(symbol);
  const item = make("div", "market");
  item.id = `market-${symbol}`;
  item.role = "option";
  item.dataset["symbol"] = symbol;
  const name = make("span", "market-name", base);
  if (quote !== "") name.append(make("small", "", `/${quote}`));
  name.prepend(star());
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
  return row;
}

/** For the mouse and fingers; by keyboard there is the one beside the name of the market that is shown. */
function star(): Element {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "star");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "m8 2 1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.3l-3.7 2 .8-4.1L2 6.3l4.2-.5z");
  svg.append(path);
  return svg;
}

/** An empty row that is shown until the list has loaded. */
export function makePlaceholder(): HTMLElement {
  const item = make("div", "market ghosts");
  item.ariaHidden = "true";
  item.append(...["a", "b", "c", "d"].map(() => make("span", "ghost", "00000")));
  return item;
}

/** Paints the newest ticker; returns whether the price has moved. */
export function showTicker(row: Row): boolean {
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

export function stopReading(row: Row): void {
  row.reading?.close();
  row.reading = null;
}

export function drawSpark(row: Row): void {
  const { closes } = row;
  row.drawn = row.last;
  if (closes.length > 0)
    row.spark.setAttribute("d", sparkPath(row.last === 0 ? closes : [...closes.slice(0, -1), row.last]));
}
