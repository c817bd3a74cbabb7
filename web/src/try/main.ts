// The playground's composition root: joins what is chosen, the wire, the frames and the code.

import { storeToken, token } from "../page/access";
import { element, make, nextFrame, setText } from "../page/dom";
import { applyScheme, nextScheme, scheme } from "../page/scheme";
import { type Choice, DIALECTS, type Followed, formatChoice, LANGUAGES, parseChoice, SYMBOL } from "./choice";
import { code } from "./code";
import { languageName } from "./code/text";
import { bearer, connect, type Listener, type Phase, request, type Wire } from "./connection";
import { closeMeaning, describe } from "./describe";
import { examples, target } from "./dialects";
import { FrameView } from "./frame-view";
import { type Direction, type Frame, FrameList, Meter, sizeOf, timeOf } from "./frames";
import { pretty } from "./pretty";

const MAX_FRAMES = 300;
const MAX_CHARACTERS = 4_000_000;
const RATE_MS = 1_000;

/** The gateway's address, relative to the page: it works behind any path prefix. */
const base = new URL("./", document.baseURI).href;
const encoder = new TextEncoder();
const frames = new FrameList(MAX_FRAMES, MAX_CHARACTERS);
const meter = new Meter();
const view = new FrameView(element("frames"), element("kept"), frames, showDetail);

const form = element<HTMLFormElement>("choice");
const symbol = element<HTMLInputElement>("symbol");
const interval = element<HTMLSelectElement>("interval");
const followed = element<HTMLSelectElement>("followed");
const text = element<HTMLTextAreaElement>("text");
const example = element<HTMLSelectElement>("example");
const prettyButton = element("pretty");

let choice = parseChoice(location.hash);
let phase: Phase = "closed";
let wire: Wire | null = null;
let selected: Frame | null = null;
let tokenNeeded = false;
/** What the editor has been given: anything else was typed, and stays. */
let given = "";

/** Of one connection: what comes after another one has begun is passed over. */
function listener(): Listener {
  let own: Wire | null | undefined;
  const current = (): boolean => {
    own ??= wire ?? undefined;
    return own === undefined || own === wire;
  };
  return {
    phase: (next) => current() && showPhase(next),
    frame: (direction, sent, { code: status = "", said = sent } = {}) => {
      const described = sent.startsWith("GET ") ? { label: "request", code: "" } : describe(said);
      const comment = said === "" && sent !== "" ? { label: "comment", code: "" } : described;
      add(direction, sent, comment.label, `${status} ${comment.code}`.trim());
    },
    note: (said, noted = "") => add("note", said, "", noted),
    closed: (closed, reason, opened) => {
      const meaning = [reason, closeMeaning(closed)].filter((part) => part !== "").join(". ");
      add("note", `Closed${meaning === "" ? "" : `: ${meaning}`}`, "close", String(closed));
      if (!opened && closed !== 1000) void explain();
    },
  };
}

function add(direction: Direction, sent: string, label: string, noted: string): void {
  const bytes = direction === "note" ? 0 : encoder.encode(sent).length;
  if (direction === "in") meter.add(bytes);
  frames.add({ direction, at: Date.now(), text: sent, bytes, label, code: noted });
  view.changed();
}

/** A browser does not say why a handshake was refused: the same question over HTTP is answered with a code. */
async function explain(): Promise<void> {
  const aborter = new AbortController();
  const { path } = target({ ...choice, dialect: "events" });
  try {
    const response = await fetch(new URL(path, base), { headers: bearer(token()), signal: aborter.signal });
    if (response.ok) {
      const bare = choice.dialect === "binance" && token() === null && tokenNeeded;
      add(
        "note",
        `The handshake was refused${bare ? ": a token is needed" : "; the browser does not say why."}`,
        "",
        "",
      );
    } else {
      const said = await response.text();
      add("note", said, "refused", `${response.status} ${describe(said).code}`.trim());
      if (response.status === 401) askForToken();
    }
  } catch {
    add("note", "The gateway does not answer.", "", "");
  } finally {
    aborter.abort();
  }
}

function start(): void {
  if (choice.dialect === "binance" && token() !== null) {
    add("note", "A page cannot send a token in this dialect: a program can, in a header.", "", "");
  }
  wire = null;
  wire = connect(target(choice), base, token(), listener());
}

function stop(): void {
  wire?.close();
}

function send(): void {
  if (choice.dialect === "http") void request(text.value, base, token(), listener());
  else if (wire?.send(text.value) !== true) {
    const why = choice.dialect === "events" ? "Events go one way: commands are in the address." : "Not connected.";
    add("note", why, "", "");
  }
}

/** Takes over what was chosen: the address, the code, what can be sent; and the wire, if there is one. */
function choose(next: Choice): void {
  const before = choice;
  choice = next;
  if (location.hash !== formatChoice(next)) history.replaceState(null, "", formatChoice(next));
  showChoice();
  const same = formatChoice({ ...before, language: next.language }) === formatChoice(next);
  if (same || phase === "closed") return;
  stop();
  start();
}

function showChoice(): void {
  for (const input of form.querySelectorAll<HTMLInputElement>("[name=dialect]")) {
    input.checked = input.value === choice.dialect;
  }
  if (symbol.value.trim().toUpperCase() !== choice.symbol) symbol.value = choice.symbol;
  if (![...interval.options].some(({ value }) => value === choice.interval)) interval.add(new Option(choice.interval));
  interval.value = choice.interval;
  followed.value = choice.followed;
  const offered = examples(choice);
  example.replaceChildren(...offered.map(({ name, text: sent }) => new Option(name, sent)));
  if (text.value === given) text.value = given = offered[0].text;
  text.disabled = example.disabled = element<HTMLButtonElement>("send").disabled = choice.dialect === "events";
  setText(element("text-label"), choice.dialect === "http" ? "Ask for a path" : "Send a command");
  setText(element("code"), code(choice, { base: base.replace(/\/$/, ""), token: tokenNeeded || token() !== null }));
  for (const input of element("languages").querySelectorAll("input")) {
    const language = LANGUAGES.find((name) => name === input.value);
    input.checked = language === choice.language;
    if (language !== undefined && input.nextElementSibling instanceof HTMLElement) {
      setText(input.nextElementSibling, languageName(language, choice));
    }
  }
  showPhase(phase);
}

function showPhase(next: Phase): void {
  phase = next;
  const names = { closed: "Closed", connecting: "Connecting", open: "Open" } as const;
  const shown = element("phase");
  shown.dataset["phase"] = next;
  setText(shown, names[next]);
  const verb = choice.dialect === "http" ? "Ask" : "Connect";
  setText(element("connect"), next === "closed" ? verb : "Disconnect");
}

function showDetail(frame: Frame | null): void {
  selected = frame;
  const title =
    frame === null ? "No frame chosen" : `Frame ${frame.number}, ${timeOf(frame.at)}, ${sizeOf(frame.bytes)}`;
  setText(element("detail-title"), title);
  const isPretty = prettyButton.ariaPressed === "true";
  setText(element("detail"), frame === null ? "" : isPretty ? prettyMessage(frame.text) : frame.text);
}

/** An event's data are in lines of their own. */
function prettyMessage(sent: string): string {
  return sent.replace(/^(data:\s?)?([[{].*)$/gms, (_, field: string | undefined, json: string) =>
    field === undefined ? pretty(json) : `${field.trim()} ${pretty(json)}`,
  );
}

function askForToken(): void {
  tokenNeeded = true;
  element<HTMLDetailsElement>("token-box").open = true;
  showChoice();
}

/** The markets to choose from. Without them any name can be typed. */
async function readMarkets(): Promise<void> {
  const response = await fetch(new URL("v1/symbols", base), { headers: bearer(token()) });
  if (response.status === 401) askForToken();
  if (!response.ok) return;
  const { symbols, intervals } = (await response.json()) as { symbols: string[]; intervals: string[] };
  element("symbols").replaceChildren(...symbols.map((name) => new Option(name)));
  interval.replaceChildren(...intervals.map((name) => new Option(name)));
  const listed =
    location.hash === "" && !symbols.includes(choice.symbol) ? (symbols[0] ?? choice.symbol) : choice.symbol;
  choose({ ...choice, symbol: listed });
}

function showRate(): void {
  const { framesPerS, bytesPerS } = meter.read(performance.now());
  const now = `${framesPerS.toFixed(framesPerS < 10 ? 1 : 0)} frames/s, ${sizeOf(bytesPerS)}/s`;
  setText(element("counters"), `${now}; ${meter.frames} received, ${sizeOf(meter.bytes)}`);
  setTimeout(showRate, RATE_MS);
}

function showScheme(): void {
  const button = element("scheme");
  button.dataset["scheme"] = scheme();
  button.ariaLabel = button.title = `Colours: ${scheme()}`;
}

async function copy(): Promise<void> {
  try {
    await navigator.clipboard.writeText(element("code").textContent ?? "");
    setText(element("copied"), "Copied");
    setText(element("copy"), "Copied");
  } catch {
    // Not over plain HTTP from another machine: the text is selected, so that it can be copied by hand.
    getSelection()?.selectAllChildren(element("code"));
    setText(element("copied"), "Selected");
    setText(element("copy"), "Selected");
  }
  setTimeout(() => setText(element("copy"), "Copy"), RATE_MS);
}

function toggle(button: HTMLElement): boolean {
  const on = button.ariaPressed !== "true";
  button.ariaPressed = String(on);
  return on;
}

element("languages").append(
  ...LANGUAGES.map((language) => {
    const [label, input] = [make("label", ""), make("input", "")];
    Object.assign(input, { type: "radio", name: "language", value: language });
    input.addEventListener("change", () => choose({ ...choice, language }));
    label.append(input, make("span", ""));
    return label;
  }),
);
form.addEventListener("change", () => {
  const checked = form.querySelector<HTMLInputElement>("[name=dialect]:checked")?.value;
  const typed = symbol.value.trim().toUpperCase();
  symbol.setCustomValidity(SYMBOL.test(typed) ? "" : "A symbol is spelled as the exchange spells it: BTCUSDT.");
  choose({
    ...choice,
    dialect: DIALECTS.find((name) => name === checked) ?? choice.dialect,
    symbol: SYMBOL.test(typed) ? typed : choice.symbol,
    interval: interval.value,
    followed: followed.value as Followed,
  });
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (phase === "closed") start();
  else stop();
});
element("command").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  if (!text.disabled) send();
});
example.addEventListener("change", () => {
  text.value = given = example.value;
});
element("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = element<HTMLInputElement>("token");
  input.setCustomValidity(storeToken(input.value.trim()) ? "" : "A token must not contain spaces or quotes.");
  if (!input.reportValidity()) return;
  input.value = "";
  add("note", "The token is used from the next connection on.", "", "");
  showChoice();
  readMarkets().catch(() => {});
});
element("token").addEventListener("input", () => element<HTMLInputElement>("token").setCustomValidity(""));
const filter = (): void =>
  view.filter({
    text: element<HTMLInputElement>("filter").value,
    direction: element<HTMLSelectElement>("direction").value as Direction | "all",
  });
element("filter").addEventListener("input", filter);
element("direction").addEventListener("change", filter);
element("pause").addEventListener("click", () => view.pause(toggle(element("pause"))));
element("clear").addEventListener("click", () => view.clear());
prettyButton.addEventListener("click", () => {
  toggle(prettyButton);
  showDetail(selected);
});
element("copy").addEventListener("click", () => void copy());
element("skip").addEventListener("click", () => element("frames").focus());
element("scheme").addEventListener("click", () => {
  nextScheme();
  showScheme();
});
window.addEventListener("hashchange", () => choose(parseChoice(location.hash)));

applyScheme();
showScheme();
showChoice();
view.changed();
showRate();
void nextFrame().then(() => readMarkets().catch(() => add("note", "The gateway does not answer.", "", "")));
