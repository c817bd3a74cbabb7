// The page's composition root: it creates the parts and joins them. The address alone decides which market is shown.

import { checkOnWake, KlineDataService, type Level } from "kline-gateway-client";
import { token } from "./access";
import { Address } from "./address";
import { showAttribution } from "./attribution";
import { expose } from "./automation";
import type { ShownBar } from "./bars";
import { CandleChart } from "./chart";
import { choices } from "./choices";
import { ConnectionPanel } from "./connection";
import { Controls } from "./controls";
import { element, nextFrame, oncePerFrame, setText } from "./dom";
import { base, firstAnswer, firstMarkets, HISTORY, PATIENCE_MS } from "./first-load";
import { showFooter, showLegend, showPrice, showScheme, showStudies, showTicker } from "./header";
import { IntervalBar } from "./intervals";
import { Journal } from "./journal";
import { wireKeys } from "./keys";
import { MarketLists } from "./market-lists";
import { MarketOrder } from "./market-order";
import { MarketList } from "./markets";
import { loadLearned, saveLearned } from "./memory";
import { Polling } from "./polling";
import { Position } from "./position";
import { wirePrefetchChoice } from "./prefetch-choice";
import { complete, formatHash, parseHash, type Route } from "./route";
import { nextScheme, scheme } from "./scheme";
import { SelectedMarket } from "./selected-market";
import { wireSheet } from "./sheet";
import { sparkQuery } from "./sparkline";
import { StatePainter } from "./state-painter";
import type { StudyValue } from "./studies";
import { wireTokenForm } from "./token-form";

const CLOCK_MS = 250;
const RATE_MS = 1_000;
const DAY_MS = 86_400_000;

const EXPLAINED: Record<Level, string> = {
  green: "Everything shown is live, as the gateway reports.",
  yellow: "The data shown may be slightly old. It continues without a gap once the delay is over.",
  red: "The data shown is old. It stays on the screen and is updated without a gap once the source is back.",
};

const service = new KlineDataService({ url: base, token, learned: loadLearned() });
const { stream } = service;
const journal = new Journal();
const paintSoon = oncePerFrame(paint);

const chart = new CandleChart(element("chart"), (bar, values) => {
  hovered = bar;
  studies = values;
  paintSoon();
});
const controls = new Controls(chart, { route: shownRoute });
const address = new Address();
const position = new Position(
  chart,
  () => selected.candles,
  () => service.check(),
  () => controls.zone,
);
const polling = new Polling(service, () => selected.route);
const state = new StatePainter(service, chart, journal, polling);
const intervals = new IntervalBar(element("intervals"), (interval) => goTo({ interval }));
const list = new MarketList(
  { list: element("market-list"), search: element<HTMLInputElement>("search"), none: element("market-none") },
  service,
  {
    chosen: (symbol) => {
      go({ ...selected.route, symbol, at: null }, sheet.leave());
      // Keys are for the chart again.
      element("chart").focus({ preventScroll: true });
    },
    liked: (symbol) => controls.like(symbol),
    considered: (symbol) => service.hint(symbol, selected.route.interval),
  },
);
const panel = new ConnectionPanel(() => ({
  info: stream.info,
  stats: service.stats,
  dataAgeMs: dataAgeMs(),
  updatesPerSecond,
  journal,
  text: EXPLAINED[state.level],
  candles: selected.bars,
  shown: selected.shown,
  zone: controls.zone,
}));
const markets = new MarketLists((first) => {
  // The market of the address is selected before the lists arrive, and prefetching needs them.
  if (first && selected.route.symbol !== "") prefetch();
  follow();
  showMarkets();
  const unknown = selected.status.error?.code === "INVALID_SYMBOL";
  // The market has appeared since.
  if (unknown && markets.symbols.includes(selected.route.symbol)) select(selected.route);
  return unknown;
});
const order = new MarketOrder(element("market-list"), showMarkets);
const sheet = wireSheet({ opened: () => list.focus(), closed: () => list.clear() });

let selected = new SelectedMarket({ symbol: "", interval: "", at: null }, service, chart, paintSoon);
let hovered: ShownBar | null = null;
let studies: readonly StudyValue[] = [];
let priceBefore: number | null = null;
let updatesPerSecond = 0;
let firstChartMs: number | null = null;

/** Changes the address, the page follows it. `instead`: not a new step of the browser's history. */
function go(route: Route, instead = false): void {
  if (instead) history.replaceState(null, "", formatHash(route));
  else location.hash = formatHash(route);
  // At once, not at the browser's event: the next key may be pressed before that.
  follow();
}

/** Goes to another market, or another interval of the same time; `null`: there is none. */
function goTo({ symbol, interval }: { readonly symbol?: string | null; readonly interval?: string | null }): void {
  if (typeof symbol === "string") go({ ...selected.route, symbol, at: null });
  else if (typeof interval === "string") go({ ...shownRoute(), interval });
}

/** What is looked at. */
function shownRoute(): Route {
  return { ...selected.route, at: selected.candles.state.at };
}

/** Selects the market and interval of the address, as far as it names them and the lists are known. */
function follow(): void {
  const asked = parseHash(location.hash);
  const { lists } = markets;
  const route = lists === null ? asked : complete(asked, lists.symbols, lists.intervals);
  if (route.symbol === "" || route.interval === "") return;
  const before = address.at;
  address.show(route);
  if (route.symbol !== selected.route.symbol || route.interval !== selected.route.interval) select(route);
  else if (route.at === null && before !== null) selected.candles.toNewest();
  else if (route.at !== null && route.at !== before) selected.candles.goTo(route.at);
}

function select(route: Route, askedAt?: number): void {
  const before = selected;
  hovered = null;
  if (route.symbol !== before.route.symbol) priceBefore = null;
  selected = new SelectedMarket(route, service, chart, paintSoon, askedAt);
  needDay();
  // After the new one has subscribed: channels that both need are shared, not requested again.
  before.close();
  prefetch();
  controls.show();
  element("chart").ariaLabel = `Candlestick chart of ${route.symbol}, ${route.interval}`;
  showMarkets();
  paintSoon();
}

/** The day's mean price is made of all of its candles. */
function needDay(): void {
  selected.candles.need(choices.now.vwap ? Math.floor(Date.now() / DAY_MS) * DAY_MS : null);
}

function prefetch(): void {
  service.viewed(selected.route.symbol, selected.route.interval, markets.symbols);
  saveLearned(service.learned);
}

function showMarkets(): void {
  const { symbol, interval } = selected.route;
  intervals.show(markets.lists?.intervals ?? (interval === "" ? [] : [interval]), interval);
  list.show(order.of(markets.symbols), symbol, sparkQuery(markets.lists?.intervals ?? []));
  list.like(choices.now.favourites);
}

function paint(): void {
  paintState();
  const { route, price, digits } = selected;
  setText(element("symbol-name"), route.symbol || "…");
  showPrice(price, priceBefore, digits, state.view.kind === "loading");
  priceBefore = price;
  showTicker(selected.ticker, digits);
  showLegend(hovered ?? selected.newest, digits);
  showStudies(hovered === null ? chart.studies : studies, digits);
  const { at, loading } = selected.candles.state;
  // Of a position that is still loaded the address is right and the chart is not.
  if (loading !== "there") address.moved(at, shownRoute);
  if (firstChartMs !== null || selected.shown === null) return;
  firstChartMs = performance.now();
  // The next task runs after this frame, in which the chart draws its candles.
  setTimeout(() => {
    firstChartMs = performance.mark("first-chart").startTime;
  });
}

function changeScheme(): void {
  showScheme(nextScheme());
  chart.paint();
}

function dataAgeMs(): number | null {
  return selected.lastMessageAt === null ? null : Date.now() - selected.lastMessageAt;
}

/** Paints what also changes with time. */
function paintState(): void {
  state.paint(selected, markets.state, Date.now());
  panel.paint();
  position.paint();
}

function showRate(before: number): void {
  const { updates } = stream.info;
  updatesPerSecond = updates - before;
  showFooter(stream.info, updatesPerSecond, selected.bars);
  const shown = selected.price === null ? "" : `${element("price").textContent} ${selected.route.symbol} · `;
  document.title = `${state.old ? "⚠ " : ""}${shown}kline gateway`;
  setTimeout(() => showRate(updates), RATE_MS);
}

/** Somebody does not want to wait: everything that is missing is asked for now. */
function retry(): void {
  // An attempt that was made before may hang.
  if (stream.info.phase === "connecting") stream.reconnect();
  service.check();
  polling.soon();
  if (selected.candles.state.error !== "") selected.candles.retry();
  void markets.read();
}

element("notice-button").addEventListener("click", retry);
element("outage-retry").addEventListener("click", retry);
wireTokenForm(() => {
  stream.reconnect();
  void markets.read();
});
showScheme(scheme());
element("scheme").addEventListener("click", changeScheme);
element("skip").addEventListener("click", (event) => {
  // The address's hash names the market.
  event.preventDefault();
  element("chart").focus();
});
window.addEventListener("hashchange", follow);
choices.onChange(() => {
  list.like(choices.now.favourites);
  needDay();
  paintSoon();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.paint());
// The axis measures its labels once: paint again if the page's own font loads later.
if (document.fonts.status === "loading") void document.fonts.ready.then(() => chart.paint());
checkOnWake(service, document, window);
stream.onConnection((info) => {
  journal.connection(info, Date.now());
  // Perhaps the token is missing or not valid.
  if (info.phase === "refused") void markets.read();
  paintSoon();
});
wirePrefetchChoice(service);
wireKeys({
  market: (step) => goTo({ symbol: list.neighbour(step) }),
  interval: (step) => goTo({ interval: intervals.neighbour(step) }),
  connection: () => panel.toggle(),
  scheme: changeScheme,
  date: () => position.askDate(),
  settings: () => controls.toggleSettings(),
  fullscreen: () => controls.toggleFullscreen(),
});

expose(() => ({
  symbol: selected.route.symbol,
  interval: selected.route.interval,
  scroll: selected.candles.state,
  view: state.view.kind,
  level: state.level,
  channel: selected.status.state,
  link: stream.info.phase,
  bars: chart.bars(),
  lastClosed: selected.lastClosed?.openTime ?? 0,
  lastPrice: selected.price,
  updates: stream.info.updates,
  digits: selected.digits,
  shown: selected.shown,
  firstChartMs,
  cache: service.stats,
  visits: service.visits,
  intervalMs: stream.info.intervalMs,
}));

/** Candles first: the list of markets is built after they are on the screen. */
async function start(): Promise<void> {
  const late = nothingAfter(PATIENCE_MS);
  const answer = await Promise.race([firstAnswer, late]);
  if (answer === null) void firstAnswer.then((found) => found !== null && stream.offer(found, HISTORY));
  if (answer !== null) {
    service.preload(answer);
    const { symbol, interval } = answer;
    // 0: the start of the navigation.
    select({ symbol, interval, at: null }, 0);
  }
  follow();
  await nextFrame();
  await markets.read(firstMarkets);
}

function nothingAfter(ms: number): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), ms));
}

void start();
// Before the first answer there is one request on its way already.
void firstAnswer.then(() => setInterval(() => polling.tick(), CLOCK_MS));
// The chart does not wait for it, and does without it.
showAttribution().catch(() => {});
setInterval(paintState, CLOCK_MS);
showRate(0);
