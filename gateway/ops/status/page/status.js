// @ts-check
// Asks the gateway once a second how it is, and shows the answer. Keeps nothing but the token, for this tab only.

const PERIOD_MS = 1000;
const PATIENCE_MS = 5000;
const TOKEN = "kline-gateway-operations-token";
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 40;

/** @typedef {{ text: string, mark?: string, number?: boolean, stretch?: boolean, href?: string }} Cell */
/** @typedef {Record<string, any>} Told what `/status.json` holds */

/** @param {string} id */
function at(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no #${id}`);
  return found;
}

/** @param {Element} element @param {string} text */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Words for numbers.

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
/** @type {[string, string, number, (now: number | null, told: Told) => string[], (told: Told, values: (number | null)[]) => string][]} */
const TILES = [
  [
    "Age of the feed",
    "feed_age_ms",
    1000,
    (now) => (now === null ? ["–", ""] : span(now).split(/ (.*)/)),
    (_, values) => `worst ${span(most(values))}`,
  ],
  [
    "News in",
    "messages_per_s",
    10,
    (now) => short(now ?? 0, "/s"),
    (told) => (told["load"].surging ? "conflated: a surge" : ""),
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
    (told) => `${whole.format(told["clients"].slowed)} in slower tiers`,
  ],
  [
    "Not in step",
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
    (told) => `load level ${told["load"].level}`,
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

/** @param {Told} told */
function showTiles(told) {
  TILES.forEach(([, samples, atLeast, big, note], place) => {
    const tile = tiles[place];
    /** @type {(number | null)[]} */
    const values = told["samples"][samples];
    if (!tile) return;
    const [number = "", unit = ""] = big(values.at(-1) ?? null, told);
    say(tile.number, number);
    say(tile.unit, unit);
    say(tile.note, note(told, values));
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
  disconnect: ["clients sent away", "fair"],
  refusal: ["refused", "fair"],
  feed_error: ["feed messages skipped", "fair"],
  gap: ["gap", "fair"],
});
const STATES = /** @type {Record<string, string>} */ ({
  redis: "no link to Redis",
  repair: "reading what was missed",
  silent: "the collector is silent",
});

/** @param {Told} told */
function showFeed(told) {
  const feed = told["feed"];
  const state = feed.live ? "live" : `stale: ${STATES[feed.reason] ?? feed.reason}`;
  list("feed", [
    ["State", feed.since ? `${state}, for ${span(told["timestamp"] - feed.since)}` : state, feed.live ? "good" : "bad"],
    ["Last news", feed.age_ms === null ? "never" : `${span(feed.age_ms)} ago`],
    ["Mode", feed.mode],
    ["Links lost", whole.format(feed.reconnects), feed.reconnects ? "fair" : ""],
    ["History", feed.history ? "can be read" : "cannot be read", feed.history ? "" : "bad"],
  ]);
  table(
    "sources",
    ["Source", "Link", "Last news", "Messages", "Failures"],
    Object.entries(feed.sources).map(([name, source]) => [
      cell(source.followed ? `${name} (followed)` : name),
      source.linked ? cell("linked", "good") : cell("away", "bad"),
      figure(source.age_s === null ? "never" : span(source.age_s * 1000)),
      figure(source.messages),
      figure(source.failures, source.failures ? "fair" : ""),
    ]),
    "",
  );
}

/** @param {Told} told */
function showSymbols(told) {
  const symbols = told["symbols"];
  list("symbols", [
    ["Known", whole.format(symbols.known)],
    [`Without news for ${span(symbols.quiet_after_ms)}`, whole.format(symbols.quiet), symbols.quiet ? "fair" : "good"],
  ]);
  table(
    "oldest",
    ["Oldest news", "Age"],
    symbols.oldest.map((/** @type {Told} */ { symbol, age_ms }) => [
      { text: symbol, stretch: true },
      figure(
        age_ms === null ? "no price" : span(age_ms),
        age_ms === null || age_ms > symbols.quiet_after_ms ? "fair" : "",
      ),
    ]),
    "none yet",
  );
}

/** @param {Told} told */
function showClients(told) {
  const clients = told["clients"];
  table(
    "tiers",
    ["Served every", "Clients", "of them not in step"],
    clients.tiers.map((/** @type {Told} */ tier) => [
      cell(span(tier["interval_ms"])),
      figure(tier["clients"]),
      figure(tier["behind"], tier["behind"] ? "fair" : ""),
    ]),
    "",
  );
  const told_addresses = clients.slowest.some((/** @type {Told} */ client) => "address" in client);
  table(
    "slowest",
    ["Client", ...(told_addresses ? ["Address"] : []), "Served every", "Stalled", "Unsent", "Channels", "Dialect"],
    clients.slowest.map((/** @type {Told} */ client) => [
      // Each worker counts its connections by itself.
      cell("worker" in client ? `worker ${client["worker"]} #${client["id"]}` : `#${client["id"]}`),
      ...(told_addresses ? [cell(client["address"])] : []),
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
    told["disconnects"].map((/** @type {Told} */ close) => [
      cell(String(close["code"])),
      { text: close["reason"], stretch: true },
      figure(close["count"]),
    ]),
    "nobody",
  );
}

/** @param {Told} told */
function showPast(told) {
  table(
    "gaps",
    ["Series", "From (UTC)", "To", "State"],
    told["gaps"].last.map((/** @type {Told} */ gap) => [
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
    told["events"].map((/** @type {Told} */ event) => {
      const [name, mark] = EVENTS[event["kind"]] ?? [event["kind"], ""];
      const said = event["kind"] === "stale" ? (STATES[event["what"]] ?? event["what"]) : event["what"];
      const what = "worker" in event ? `worker ${event["worker"]}: ${said}` : said;
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

/** Which of several the numbers are of: of all, or with `?worker=2` in the page's address of one. @param {Told} told */
function showWorkers(told) {
  const workers = told["workers"] ?? [];
  at("workers-card").hidden = !told["workers"];
  const one = "worker" in told;
  table(
    "workers",
    ["Numbers below", "State", "Clients", "Writes out", "Bytes out", "In flushes", "Process"],
    [
      ...workers.map((/** @type {Told} */ worker) => [
        told["worker"] === worker["worker"]
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
        figure(workers.reduce((/** @type {number} */ sum, /** @type {Told} */ worker) => sum + worker["clients"], 0)),
        cell(""),
        cell(""),
        cell(""),
        figure(`${workers.length} of ${told["workers_wanted"]}`),
      ],
    ],
    "",
  );
}

/** @param {string} level @param {string} headline @param {string[]} why */
function judge(level, headline, why) {
  document.documentElement.dataset["level"] = level;
  say(at("headline"), headline);
  if (!isNew("why", why)) return;
  at("why").replaceChildren(
    ...why.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }),
  );
}

/** @param {Told} told */
function show(told) {
  judge(told["level"], told["headline"], told["why"]);
  const process = told["process"];
  const up = span(told["timestamp"] - process.started);
  const whose = told["worker"] ? `worker ${told["worker"]}, process ${process.pid}` : `process ${process.pid}`;
  say(
    at("process"),
    `${clock.format(told["timestamp"])} UTC · up ${up} · version ${process.version} · ${process.pid ? whose : "all workers"}`,
  );
  showWorkers(told);
  showTiles(told);
  showFeed(told);
  showSymbols(told);
  showClients(told);
  showPast(told);
  at("locked").hidden = true;
  at("content").hidden = false;
}

// The beat.

let answeredMs = Date.now();

async function ask() {
  const token = sessionStorage.getItem(TOKEN);
  const answer = await fetch(`../status.json${location.search}`, {
    cache: "no-store",
    headers: token ? { authorization: `Bearer ${token}` } : {},
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (answer.status === 401) {
    judge("wait", token ? "That token is not the right one" : "A token is needed", []);
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

async function beat() {
  let goOn = true;
  try {
    goOn = await ask();
  } catch {
    judge("away", "The gateway does not answer", [
      `no answer for ${span(Date.now() - answeredMs)}; below is what it said last`,
    ]);
  }
  if (goOn) setTimeout(beat, PERIOD_MS);
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = /** @type {HTMLInputElement} */ (at("token"));
  sessionStorage.setItem(TOKEN, input.value);
  input.value = "";
  void beat();
});
void beat();
