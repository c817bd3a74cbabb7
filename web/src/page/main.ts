// The page's composition root: it makes the parts and joins them. What is looked at follows from the address alone.

import {
  checkOnWake,
  fetchMarkets,
  freshness,
  HttpError,
  KlineDataService,
  type Level,
  type Markets,
} from "kline-gateway-client";
import { keepToken, token } from "./access";
import { expose } from "./automation";
import { CandleChart, type ShownBar } from "./chart";
import { ConnectionPanel } from "./connection";
import { element, nextFrame, oncePerFrame, setText } from "./dom";
import { base, firstAnswer, firstMarkets } from "./first-load";
import {
  badgeText,
  showBadge,
  showCountdown,
  showFooter,
  showLegend,
  showNotice,
  showOrigin,
  showPrice,
  showScheme,
  showSource,
  showThrottle,
  showTicker,
} from "./header";
import { IntervalBar } from "./intervals";
import { Journal, throttleText } from "./journal";
import { wireKeys } from "./keys";
import { Look } from "./look";
import { MarketList } from "./markets";
import { recall, remember } from "./memory";
import { listed } from "./order";
import { complete, formatHash, parseHash, type Route } from "./route";
import { nextScheme, scheme } from "./scheme";
import { wireSheet } from "./sheet";
import { sparkQuery } from "./sparkline";
import { type View, type ViewInput, viewOf } from "./view";

const CLOCK_MS = 250;
const RATE_MS = 1_000;
const UNAUTHORIZED = 401;
const MARKETS_RETRY_MS = 3_000;
const MARKETS_REFRESH_MS = 60_000;
/** Until a cached chart has been continued: no alarm for what is over in a moment. */
const JOINING_MS = 1_000;

const EXPLAINED: Record<Level, string> = {
  green: "Everything shown is live. The gateway says so itself, and would say if it were not.",
  yellow: "What is shown may be a moment old. It continues without a hole as soon as that is over.",
  red: "What is shown is old. It stays on the screen, and is brought up to date without a hole once the source is back.",
};

const app = element("app");
const service = new KlineDataService({ url: base, token, learned: recall() });
const { stream } = service;
const journal = new Journal();
const paintSoon = oncePerFrame(paint);

const chart = new CandleChart(element("chart"), (bar) => {
  hovered = bar;
  paintSoon();
});
const intervals = new IntervalBar(element("intervals"), (interval) => go({ ...look.route, interval }));
const list = new MarketList(
  { list: element("market-list"), search: element<HTMLInputElement>("search"), none: element("market-none") },
  service,
  {
    chosen: (symbol) => {
      closeSheet();
      go({ ...look.route, symbol });
    },
    considered: (symbol) => service.hint(symbol, look.route.interval),
  },
);
const panel = new ConnectionPanel(() => ({
  info: stream.info,
  stats: service.stats,
  dataAgeMs: dataAgeMs(),
  updatesPerSecond,
  journal,
  text: EXPLAINED[level],
  candles: look.bars,
  shown: look.shown,
}));
const closeSheet = wireSheet({ opened: () => list.focus(), closed: () => list.clear() });

let look = new Look({ symbol: "", interval: "" }, stream, chart, paintSoon);
let markets: Markets | null = null;
let listing: ViewInput["markets"] = "loading";
let listingTimer: ReturnType<typeof setTimeout> | undefined;
let hovered: ShownBar | null = null;
let view: View = { kind: "loading" };
let level: Level = "yellow";
let priceBefore: number | null = null;
let updatesPerSecond = 0;
let firstChartMs: number | null = null;

/** The address changes, and the page follows it. */
function go(route: Route): void {
  location.hash = formatHash(route);
  // At once, not when the browser comes to telling it: the next key may be there before.
  follow();
}

/** Where there is no neighbour, nothing happens. */
function goTo({ symbol, interval }: { readonly symbol?: string | null; readonly interval?: string | null }): void {
  go({ symbol: symbol ?? look.route.symbol, interval: interval ?? look.route.interval });
}

/** Looks at what the address says, as far as it says something and the lists are known. */
function follow(): void {
  const asked = parseHash(location.hash);
  const route = markets === null ? asked : complete(asked, markets.symbols, markets.intervals);
  if (route.symbol === "" || route.interval === "") return;
  if (location.hash !== formatHash(route)) history.replaceState(null, "", formatHash(route));
  if (route.symbol !== look.route.symbol || route.interval !== look.route.interval) lookAt(route);
}

function lookAt(route: Route, askedAt?: number): void {
  const before = look;
  hovered = null;
  if (route.symbol !== before.route.symbol) priceBefore = null;
  look = new Look(route, stream, chart, paintSoon, askedAt);
  // Only now: what both look at is shared, not asked for again.
  before.close();
  prefetch();
  element("chart").ariaLabel = `Candlestick chart of ${route.symbol}, ${route.interval}`;
  showMarkets();
  paintSoon();
}

function prefetch(): void {
  service.looked(look.route.symbol, look.route.interval, markets?.symbols ?? []);
  remember(service.learned);
}

function showMarkets(): void {
  const { symbol, interval } = look.route;
  intervals.show(markets?.intervals ?? (interval === "" ? [] : [interval]), interval);
  list.show(listed(markets?.symbols ?? []), symbol, sparkQuery(markets?.intervals ?? []));
}

async function readMarkets(asked = fetchMarkets(base, { token: token() })): Promise<void> {
  try {
    const first = markets === null;
    markets = await asked;
    listing = "ready";
    // An address that names a market is followed before there is a list to choose the next one from.
    if (first && look.route.symbol !== "") prefetch();
  } catch (error) {
    // A gateway that is away is told by the badge; anything else here would be our bug.
    if (!(error instanceof HttpError || error instanceof TypeError)) throw error;
    const unauthorized = error instanceof HttpError && error.status === UNAUTHORIZED;
    listing = !unauthorized ? "failed" : token() === null ? "locked" : "denied";
  }
  follow();
  showMarkets();
  const unknown = look.status.error?.code === "INVALID_SYMBOL";
  // The collector has come to it since.
  if (unknown && markets?.symbols.includes(look.route.symbol)) lookAt(look.route);
  clearTimeout(listingTimer);
  // Asking again brings no token.
  if (listing === "locked" || listing === "denied") return;
  const settled = listing === "ready" && !unknown && markets !== null && markets.symbols.length > 0;
  listingTimer = setTimeout(() => void readMarkets(), settled ? MARKETS_REFRESH_MS : MARKETS_RETRY_MS);
}

function paint(): void {
  paintState();
  const { route, price, digits } = look;
  setText(element("symbol-name"), route.symbol || "…");
  showPrice(price, priceBefore, digits, view.kind === "loading");
  priceBefore = price;
  showTicker(look.ticker, digits);
  showLegend(hovered ?? look.newest, digits);
  showSource(look.shown);
  if (firstChartMs !== null || look.shown === null) return;
  firstChartMs = performance.now();
  // The next task is after this frame, in which the chart draws what it was given.
  setTimeout(() => {
    firstChartMs = performance.mark("first-chart").startTime;
  });
}

function changeScheme(): void {
  showScheme(nextScheme());
  chart.paint();
}

function dataAgeMs(): number | null {
  return look.heardAt === null ? null : Date.now() - look.heardAt;
}

/** What changes with time alone, too: ages, the badge, whether to go on waiting. */
function paintState(): void {
  const now = Date.now();
  const { phase, heardAt, clockOffsetMs } = stream.info;
  const { route, status, newest } = look;
  const ageMs = dataAgeMs();
  const fresh = freshness({
    link: phase,
    channel: status.state,
    dataAgeMs: ageMs,
    silenceMs: heardAt === 0 ? 0 : now - heardAt,
  });
  level = fresh.level;
  view = viewOf({
    ...route,
    // A list that was read once will do while the gateway is away.
    markets: listing === "failed" && markets !== null ? "ready" : listing,
    bars: look.bars,
    status: status.state,
    error: status.error ?? null,
    link: phase,
    waitedMs: now - look.since,
  });
  app.dataset["view"] = view.kind;
  app.dataset["level"] = level;
  const joining = phase === "open" && status.state === "waiting" && now - look.since < JOINING_MS;
  if (!joining || ageMs === null) showBadge(level, badgeText(fresh.why, status.reason), ageMs);
  journal.channel(status, now);
  showThrottle(throttleText(stream.info));
  showOrigin(look.derived, look.gaps);
  panel.paint();
  showCountdown(newest === null ? null : newest.closeTime + 1 - (now + clockOffsetMs));
  showNotice(view);
}

function showRate(before: number): void {
  const { updates } = stream.info;
  updatesPerSecond = updates - before;
  showFooter(stream.info, updatesPerSecond, look.bars, service.stats);
  const shown = look.price === null ? "" : `${element("price").textContent} ${look.route.symbol} · `;
  document.title = `${shown}kline gateway`;
  setTimeout(() => showRate(updates), RATE_MS);
}

element("notice-button").addEventListener("click", () => {
  stream.check();
  lookAt(look.route);
});
element<HTMLFormElement>("token-form").addEventListener("submit", (event) => {
  // Nothing is sent anywhere: it goes along with what is asked for from now on.
  event.preventDefault();
  const input = element<HTMLInputElement>("token");
  const wellFormed = keepToken(input.value.trim());
  input.setCustomValidity(wellFormed ? "" : "A token has neither spaces nor quotes.");
  if (!input.reportValidity()) return;
  input.value = "";
  stream.reconnect();
  void readMarkets();
});
element("token").addEventListener("input", (event) => (event.target as HTMLInputElement).setCustomValidity(""));
showScheme(scheme());
element("scheme").addEventListener("click", changeScheme);
element("skip").addEventListener("click", (event) => {
  // The address's hash is the market's.
  event.preventDefault();
  element("chart").focus();
});
window.addEventListener("hashchange", follow);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.paint());
// The axis measures its labels once: again where the page's own font came later.
if (document.fonts.status === "loading") void document.fonts.ready.then(() => chart.paint());
checkOnWake(service, document, window);
stream.onLink((info) => {
  journal.link(info, Date.now());
  // Perhaps for want of a token that holds.
  if (info.phase === "refused") void readMarkets();
  paintSoon();
});
element<HTMLInputElement>("prefetch").addEventListener("change", (event) => {
  service.prefetching = (event.target as HTMLInputElement).checked;
});
wireKeys({
  market: (step) => goTo({ symbol: list.neighbour(step) }),
  interval: (step) => goTo({ interval: intervals.neighbour(step) }),
  connection: () => panel.toggle(),
  scheme: changeScheme,
});

expose(() => ({
  ...look.route,
  view: view.kind,
  level,
  channel: look.status.state,
  link: stream.info.phase,
  bars: chart.bars(),
  lastClosed: look.lastClosed?.openTime ?? 0,
  lastPrice: look.price,
  updates: stream.info.updates,
  digits: look.digits,
  shown: look.shown,
  firstChartMs,
  cache: service.stats,
  visits: service.visits,
  intervalMs: stream.info.intervalMs,
}));

/** Candles first: the list of markets is built once they are on the screen. */
async function start(): Promise<void> {
  const answer = await firstAnswer;
  if (answer !== null) {
    service.take(answer);
    const { symbol, interval } = answer;
    // Since the page was asked for.
    lookAt({ symbol, interval }, 0);
  }
  follow();
  await nextFrame();
  await readMarkets(firstMarkets);
}

void start();
setInterval(paintState, CLOCK_MS);
showRate(0);
