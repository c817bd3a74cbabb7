// Records a browsing session: drives the page in Chromium through it with mouse and keys, and keeps what the page
// itself noted of it. The hands are a script's, not a person's; where they lead, the page decides.
//
//   npm run record -- --url http://127.0.0.1:8000/ --out ../clients/web/test/sessions/desk.json

import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { launch } from "./browser.mjs";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8000/" },
    out: { type: "string", default: "../clients/web/test/sessions/desk.json" },
  },
});

const STEP_MS = 4_000;
const SETTLE_MS = 150;

/** What is done, and for how many seconds is looked at what comes of it. */
const SESSION = [
  // The day begins with the large ones, down the list and back.
  ...[40, 25, 15, 12, 12, 8].map((s) => ["key", "j", s]),
  ...[6, 5, 5].map((s) => ["key", "k", s]),
  ["click", "BTCUSDT", 90],
  ["key", "]", 45],
  ["click", "ETHUSDT", 40],
  ["click", "BTCUSDT", 30],
  ["click", "ETHUSDT", 25],
  ["key", "[", 30],
  // Something was said about the dogs.
  ["search", "doge", 50],
  ["search", "shib", 30],
  ["search", "pepe", 35],
  ["search", "bonk", 15],
  ["search", "doge", 60],
  ["search", "shib", 20],
  ["click", "BTCUSDT", 75],
  ["click", "ETHUSDT", 30],
  // Second layers against the first.
  ["search", "arb", 45],
  ["search", "opu", 40],
  ["click", "ETHUSDT", 30],
  ["search", "arb", 20],
  ["search", "opu", 20],
  // A walk down the list, as one does while waiting.
  ...[7, 4, 3, 3, 5, 9, 3, 2, 6, 12].map((s) => ["key", "j", s]),
  ["click", "BTCUSDT", 120],
  ["click", "ETHUSDT", 60],
  ["click", "SOLUSDT", 45],
  ["search", "ava", 30],
  ["search", "nea", 30],
  ["click", "SOLUSDT", 35],
  ["click", "BTCUSDT", 50],
  ["key", "]", 70],
  ["click", "ETHUSDT", 40],
  ["click", "BTCUSDT", 40],
  ["key", "[", 60],
  ["search", "doge", 30],
  ["search", "shib", 15],
  ["search", "pepe", 20],
  ["click", "BTCUSDT", 90],
  ["click", "ETHUSDT", 45],
  ["search", "lin", 40],
  ["search", "uni", 25],
  ["search", "aav", 30],
  ["search", "uni", 15],
  ["click", "ETHUSDT", 30],
  ["click", "BTCUSDT", 60],
];

const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.clock.install();
  await page.goto(new URL("#BTCUSDT/1m", values.url).href);
  await page.waitForSelector('#app[data-view="chart"][data-level="green"]');
  await page.waitForSelector("#market-BTCUSDT");
  const acts = {
    key: (key) => page.keyboard.press(key),
    click: (symbol) => page.click(`#market-${symbol}`),
    async search(text) {
      await page.keyboard.press("/");
      await page.keyboard.type(text);
      await page.keyboard.press("Enter");
      await page.evaluate("document.activeElement.blur()");
    },
  };
  for (const [act, what, seconds] of SESSION) {
    await acts[act](what);
    // The page's clock goes on; ours need not. In steps, so that the connection stays.
    for (let ms = seconds * 1_000; ms > 0; ms -= STEP_MS) await page.clock.runFor(Math.min(ms, STEP_MS));
    await page.waitForTimeout(SETTLE_MS);
  }
  const symbols = await page.evaluate("[...document.querySelectorAll('.market')].map(row => row.dataset.symbol)");
  const visits = await page.evaluate("window.klineGateway.visits");
  const began = visits[0].at;
  const looks = visits.map(({ at, symbol, interval }) => [Math.round(at - began), symbol, interval]);
  const lines = looks.map((look) => `    ${JSON.stringify(look)}`).join(",\n");
  await writeFile(values.out, `{\n  "known": ${JSON.stringify(symbols)},\n  "looks": [\n${lines}\n  ]\n}\n`);
  console.log(`${looks.length} looks in ${Math.round(looks.at(-1)[0] / 60_000)} minutes of the page's time`);
} finally {
  await browser.close();
}
