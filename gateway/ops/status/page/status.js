// @ts-check
// Requests the status of the gateway once a second and shows it. Stores only the token, for this tab.

const PERIOD_MS = 1000;
const TIMEOUT_MS = 5000;
const TOKEN = "kline-gateway-operations-token";
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 40;

/** @typedef {{ text: string, mark?: string, number?: boolean, stretch?: boolean, href?: string }} Cell */
/** @typedef {Record<string, any>} Status what `/status.json` holds */

/** @param {string} id */
function at(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no #${id}`);
  return found;
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Numbers as text.

const whole = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: "UTC" });
const day = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  timeZone: "UTC",
});

/** @param {number | null} ms */
function span(ms) {
  if (ms === null) return "never";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ${Math.floor((ms % 3_600_000) / 60_000)} min`;
  return `${Math.floor(ms / 86_400_000)} d ${Math.floor((ms % 86_400_000) / 3_600_000)} h`;
}

/** A number of at most about four digits, and its unit. @param {number} value @param {string} unit */
function short(value, unit) {
  if (value >= 1e6) return [(value / 1e6).toFixed(value < 1e7 ? 2 : 1), `M${unit}`];
  if (value >= 1e4) return [(value / 1e3).toFixed(value < 1e5 ? 1 : 0), `k${unit}`];
  return [whole.format(value), unit];
}

// Sparklines.

/** The last five minutes; the newest at the right edge. @param {(number | null)[]} values @param {number} atLeast */
function spark(values, atLeast) {
  const most = Math.max(atLeast, ...values.map((value) => value ?? 0));
  const points = values.map((value, place) => {
    const x = WIDTH - values.length + 1 + place;
    return `${x},${(HEIGHT - 1 - ((value ?? 0) / most) * (HEIGHT - 4)).toFixed(1)}`;
  });
  return points.length > 1 ? points : [];
}

/** What the tiles show: name, samples, least full scale, the big number, a note. */
/** @type {[string, string, number, (now: number | null, status: Status) => string[], (status: Status, values: (number | null)[]) => string][]} */
const TILES = [
  [
    "Age of the feed",
    "feed_age_ms",
    1000,
    (now) => (now === null ? ["–", ""] : span(now).split(/ (.*)/)),
    (_, values) => `worst ${span(most(values))}`,
  ],
  [
    "Updates in",
    "messages_per_s",
    10,
    (now) => short(now ?? 0, "/s"),
    (status) => (status["load"].surging ? "conflated: a surge" : ""),
  ],
  ["Writes out", "writes_per_s", 10, (now) => short(now ?? 0, "/s"), () => ""],
  [
    "Bytes out",
    "bytes_per_s",
    1000,
    (now) => short(now ?? 0, "B/s"),
    (_, values) => `most ${short(most(values), "B/s").join(" ")}`,
  ],
  [
    "Clients",
    "clients",
    10,
    (now) => [whole.format(now ?? 0), ""],
    (status) => `${whole.format(status["clients"].slowed)} slower than they ask for`,
  ],
  [
    "Catching up",
    "behind",
    10,
    (now) => [whole.format(now ?? 0), "clients"],
    (_, values) => `most ${whole.format(most(values))}`,
  ],
  [
    "Time in flushes",
    "busy",
    1,
    (now) => [`${Math.round((now ?? 0) * 100)}`, "%"],
    (status) =>
      `load level ${status["load"].level}${status["load"].because ? ` because ${status["load"].because}` : ""}`,
  ],
  [
    "Loop lag",
    "lag_ms",
    10,
    (now) => [(now ?? 0).toFixed(1), "ms"],
    (_, values) => `worst ${most(values).toFixed(1)} ms`,
  ],
];

/** @param {(number | null)[]} values */
const most = (values) => Math.max(0, ...values.map((value) => value ?? 0));

const tiles = TILES.map(([name]) => {
  const tile = document.createElement("div");
  tile.className = "tile";
  const title = document.createElement("h2");
  const value = document.createElement("div");
  const number = document.createElement("span");
  const unit = document.createElement("span");
  const note = document.createElement("div");
  const svg = document.createElementNS(SVG, "svg");
  const area = document.createElementNS(SVG, "polygon");
  const line = document.createElementNS(SVG, "polyline");
  title.textContent = name;
  value.className = "value";
  unit.className = "unit";
  note.className = "note";
  area.setAttribute("class", "area");
  line.setAttribute("class", "line");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  value.append(number, unit);
  svg.append(area, line);
  tile.append(title, value, note, svg);
  at("tiles").append(tile);
  return { number, unit, note, area, line };
});

/** @param {Status} status */
function showTiles(status) {
  TILES.forEach(([, samples, atLeast, big, note], place) => {
    const tile = tiles[place];
    /** @type {(number | null)[]} */
    const values = status["samples"][samples];
    if (!tile) return;
    const [number = "", unit = ""] = big(values.at(-1) ?? null, status);
    setText(tile.number, number);
    setText(tile.unit, unit);
    setText(tile.note, note(status, values));
    const points = spark(values, atLeast);
    const start = WIDTH - values.length + 1;
    tile.line.setAttribute("points", points.join(" "));
    tile.area.setAttribute("points", points.length ? `${start},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}` : "");
  });
}

// Tables and lists. Rows are made anew only where what they say has changed.

/** @type {Map<string, string>} */
const shown = new Map();

/** @param {string} id @param {unknown} content */
function isNew(id, content) {
  const text = JSON.stringify(content);
  if (shown.get(id) === text) return false;
  shown.set(id, text);
  return true;
}

/** @param {string} id @param {string[]} heads @param {Cell[][]} rows @param {string} none what to say without rows */
function table(id, heads, rows, none) {
  if (!isNew(id, [heads, rows])) return;
  const body = document.createElement("tbody");
  const head = document.createElement("thead");
  if (rows.length) {
    const row = head.insertRow();
    heads.forEach((text, place) => {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = text;
      if (rows[0]?.[place]?.number) cell.className = "number";
      row.append(cell);
    });
  } else {
    const cell = body.insertRow().insertCell();
    cell.className = "none";
    cell.textContent = none;
  }
  for (const cells of rows) {
    const row = body.insertRow();
    for (const { text, mark, number, stretch, href } of cells) {
      const cell = row.insertCell();
      if (href === undefined) cell.textContent = text;
      else cell.append(link(text, href));
      if (mark) cell.dataset["mark"] = mark;
      cell.className = number ? "number" : stretch ? "stretch" : "";
    }
  }
  at(id).replaceChildren(head, body);
}

/** @param {string} text @param {string} href */
function link(text, href) {
  const made = document.createElement("a");
  made.textContent = text;
  made.href = href;
  return made;
}

/** @param {string} id @param {[string, string, string?][]} pairs */
function list(id, pairs) {
  if (!isNew(id, pairs)) return;
  at(id).replaceChildren(
    ...pairs.flatMap(([name, text, mark]) => {
      const term = document.createElement("dt");
      const detail = document.createElement("dd");
      term.textContent = name;
      detail.textContent = text;
      if (mark) detail.dataset["mark"] = mark;
      return [term, detail];
    }),
  );
}

/** @param {string} text @param {string} [mark] @returns {Cell} */
const cell = (text, mark) => (mark ? { text, mark } : { text });
/** @param {string | number} value @param {string} [mark] @returns {Cell} */
const figure = (value, mark) => ({
  ...cell(typeof value === "number" ? whole.format(value) : value, mark),
  number: true,
});

const EVENTS = /** @type {Record<string, [string, string]>} */ ({
  start: ["started", ""],
  stale: ["data is stale", "bad"],
  live: ["data is live", "good"],
  load: ["load level", "fair"],
  disconnect: ["clients closed", "fair"],
  refusal: ["refused", "fair"],
  feed_error: ["feed messages skipped", "fair"],
  gap: ["gap", "fair"],
});
const STATES = /** @type {Record<string, string>} */ ({
  redis: "not connected to Redis",
  repair: "reading missing data",
  silent: "the collector is silent",
  malformed: "nothing that arrives can be used",
  prices: "no prices; closed klines are live",
  klines: "closed klines are overdue; tickers are live",
});

/** @param {Status} status */
function showFeed(status) {
  const feed = status["feed"];
  const state = feed.live ? "live" : `stale: ${STATES[feed.reason] ?? feed.reason}`;
  /** @type {[string, string, string?][]} */
  const refused = feed.refused ? [["Refused", feed.refused, "bad"]] : [];
  list("feed", [
    [
      "State",
      feed.since ? `${state}, for ${span(status["timestamp"] - feed.since)}` : state,
      feed.live ? "good" : "bad",
    ],
    ...refused,
    ["Last update", feed.age_ms === null ? "never" : `${span(feed.age_ms)} ago`],
    ["Mode", feed.mode],
    ["Reconnects", whole.format(feed.reconnects), feed.reconnects ? "fair" : ""],
    ["History", feed.history ? "can be read" : "cannot be read", feed.history ? "" : "bad"],
  ]);
  table(
    "sources",
    ["Source", "Connection", "Last update", "Messages", "Failures"],
    Object.entries(feed.sources).map(([name, source]) => [
      cell(source.followed ? `${name} (active)` : name),
      source.linked ? cell("connected", "good") : cell("disconnected", "bad"),
      figure(source.age_s === null ? "never" : span(source.age_s * 1000)),
      figure(source.messages),
      figure(source.failures, source.failures ? "fair" : ""),
    ]),
    "",
  );
}

/** @param {Status} status */
function showSymbols(status) {
  const symbols = status["symbols"];
  list("symbols", [
    ["Known", whole.format(symbols.known)],
    [
      `Without an update for ${span(symbols.quiet_after_ms)}`,
      whole.format(symbols.quiet),
      symbols.quiet ? "fair" : "good",
    ],
  ]);
  table(
    "oldest",
    ["Oldest update", "Age"],
    symbols.oldest.map((/** @type {Status} */ { symbol, age_ms }) => [
      { text: symbol, stretch: true },
      figure(
        age_ms === null ? "no price" : span(age_ms),
        age_ms === null || age_ms > symbols.quiet_after_ms ? "fair" : "",
      ),
    ]),
    "none yet",
  );
}

/** @param {Status} status */
function showClients(status) {
  const clients = status["clients"];
  table(
    "tiers",
    ["Tier", "Flushed every", "Clients", "of them catching up"],
    clients.tiers.map((/** @type {Status} */ tier) => [
      cell(tier["name"]),
      figure(tier["name"] === "default" ? span(clients["flush_interval_ms"]) : span(tier["interval_ms"])),
      figure(tier["clients"]),
      figure(tier["behind"], tier["behind"] ? "fair" : ""),
    ]),
    "",
  );
  const { wanted, served } = clients["fast"];
  list("fast", [["Sent each update at once", `${whole.format(served)} of ${whole.format(wanted)} that ask for it`]]);
  const has_addresses = clients.slowest.some((/** @type {Status} */ client) => "address" in client);
  table(
    "slowest",
    ["Client", ...(has_addresses ? ["Address"] : []), "Flushed every", "Stalled", "Unsent", "Channels", "Dialect"],
    clients.slowest.map((/** @type {Status} */ client) => [
      // Each worker numbers its own connections.
      cell("worker" in client ? `worker ${client["worker"]} #${client["id"]}` : `#${client["id"]}`),
      ...(has_addresses ? [cell(client["address"])] : []),
      figure(span(client["interval_ms"]), client["slower_by"] ? "fair" : ""),
      figure(client["stalled_ms"] ? span(client["stalled_ms"]) : "–", client["stalled_ms"] ? "bad" : ""),
      figure(short(client["unsent_bytes"], "B").join(" ")),
      figure(client["channels"]),
      cell(client["dialect"]),
    ]),
    "all keep up",
  );
  table(
    "closes",
    ["Code", "Reason", "Since the start"],
    status["disconnects"].map((/** @type {Status} */ close) => [
      cell(String(close["code"])),
      { text: close["reason"], stretch: true },
      figure(close["count"]),
    ]),
    "none",
  );
}

/** @param {Status} status */
function showEvents(status) {
  table(
    "gaps",
    ["Series", "From (UTC)", "To", "State"],
    status["gaps"].last.map((/** @type {Status} */ gap) => [
      cell(`${gap["symbol"]} ${gap["interval"]}`),
      cell(day.format(gap["from"])),
      cell(gap["from"] === gap["to"] ? "" : day.format(gap["to"])),
      cell(gap["state"].replace("_", " "), gap["state"] === "repaired" ? "good" : "fair"),
    ]),
    "none",
  );
  table(
    "events",
    ["Time (UTC)", "What", "Times", ""],
    status["events"].map((/** @type {Status} */ event) => {
      const [name, mark] = EVENTS[event["kind"]] ?? [event["kind"], ""];
      const detail = event["kind"] === "stale" ? (STATES[event["what"]] ?? event["what"]) : event["what"];
      const what = "worker" in event ? `worker ${event["worker"]}: ${detail}` : detail;
      return [
        cell(clock.format(event["until"])),
        cell(name, mark),
        figure(event["count"]),
        { text: what, stretch: true },
      ];
    }),
    "nothing yet",
  );
}

/** The workers; the numbers are those of all, or of one with `?worker=2` in the page's address. @param {Status} status */
function showWorkers(status) {
  const workers = status["workers"] ?? [];
  at("workers-card").hidden = !status["workers"];
  const one = "worker" in status;
  table(
    "workers",
    ["Numbers below", "State", "Clients", "Writes out", "Bytes out", "In flushes", "Process"],
    [
      ...workers.map((/** @type {Status} */ worker) => [
        status["worker"] === worker["worker"]
          ? cell(`worker ${worker["worker"]} (shown)`)
          : { text: `worker ${worker["worker"]}`, href: `?worker=${worker["worker"]}` },
        cell(worker["level"], worker["level"] === "fresh" ? "good" : worker["level"] === "stale" ? "bad" : "fair"),
        figure(worker["clients"]),
        figure(short(worker["writes_per_s"] ?? 0, "/s").join(" ")),
        figure(short(worker["bytes_per_s"] ?? 0, "B/s").join(" ")),
        figure(`${Math.round((worker["busy"] ?? 0) * 100)} %`),
        figure(String(worker["process"].pid)),
      ]),
      [
        one ? { text: "all workers", href: "?" } : cell("all workers (shown)"),
        cell(""),
        figure(workers.reduce((/** @type {number} */ sum, /** @type {Status} */ worker) => sum + worker["clients"], 0)),
        cell(""),
        cell(""),
        cell(""),
        figure(`${workers.length} of ${status["workers_wanted"]}`),
      ],
    ],
    "",
  );
}

/** @param {string} level @param {string} headline @param {string[]} why */
function judge(level, headline, why) {
  document.documentElement.dataset["level"] = level;
  setText(at("headline"), headline);
  if (!isNew("why", why)) return;
  at("why").replaceChildren(
    ...why.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }),
  );
}

/** @param {Status} status */
function show(status) {
  judge(status["level"], status["headline"], status["why"]);
  const process = status["process"];
  const up = span(status["timestamp"] - process.started);
  const scope = status["worker"] ? `worker ${status["worker"]}, process ${process.pid}` : `process ${process.pid}`;
  setText(
    at("process"),
    `${clock.format(status["timestamp"])} UTC · up ${up} · version ${process.version} · ${process.pid ? scope : "all workers"}`,
  );
  showWorkers(status);
  showTiles(status);
  showFeed(status);
  showSymbols(status);
  showClients(status);
  showEvents(status);
  at("locked").hidden = true;
  at("content").hidden = false;
}

// Requests, once a second.

let answeredMs = Date.now();

async function ask() {
  const token = sessionStorage.getItem(TOKEN);
  const answer = await fetch(`../status.json${location.search}`, {
    cache: "no-store",
    headers: token ? { authorization: `Bearer ${token}` } : {},
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (answer.status === 401) {
    judge("wait", token ? "This token is wrong" : "A token is needed", []);
    sessionStorage.removeItem(TOKEN);
    at("content").hidden = true;
    at("locked").hidden = false;
    return false;
  }
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  show(await answer.json());
  answeredMs = Date.now();
  return true;
}

async function refresh() {
  let authorized = true;
  try {
    authorized = await ask();
  } catch {
    judge("away", "The gateway does not answer", [
      `no answer for ${span(Date.now() - answeredMs)}; the numbers below are the last ones`,
    ]);
  }
  if (authorized) setTimeout(refresh, PERIOD_MS);
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = /** @type {HTMLInputElement} */ (at("token"));
  sessionStorage.setItem(TOKEN, input.value);
  input.value = "";
  void refresh();
});
void refresh();
