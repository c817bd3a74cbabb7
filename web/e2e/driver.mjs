// Drives the page for the tests: one JSON command a line on stdin, one JSON answer a line on stdout.
// It knows what a browser can do and nothing of what the page should do: that is the tests' part.
//
//   {"do":"open","url":…,"width":…,"height":…,"scheme":"dark","clock":true,"zone":"Asia/Tokyo","files":{"/path/":folder}}
//   {"do":"again","url":…}   {"do":"evaluate","script":…}
//   {"do":"until","script":…,"ms":…}   {"do":"click","selector":…}   {"do":"type","text":…}   {"do":"press","key":…}
//   {"do":"offline","on":…}   {"do":"forward","ms":…}   {"do":"heap"}   {"do":"axe"}
//   {"do":"scroll","selector":…,"frames":…,"direction":…}   {"do":"mouse","act":"move","x":…,"y":…}
//   {"do":"screenshot","path":…}   {"do":"problems"}   {"do":"close"}
//   < {"ok":…}  or  {"error":"…"}

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { launch } from "./browser.mjs";
import { scroll } from "./scrolling.mjs";

const POLL_MS = 50;
/** The page's code comes after its first candles; other pages have none of it. */
const STARTED = "document.querySelector('#app[data-view]') === null || window.klineGateway !== undefined";
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await launch();
let context = null;
let page = null;
let problems = [];

const commands = {
  /**
   * A new page, as of somebody who was never here. `clock`: its time can be forwarded. `files`: what the page's own
   * server has not, by path; so the example pages are of the gateway's origin, as an application's own would be.
   */
  async open({ url, width, height, scheme, clock, files, zone }) {
    await context?.close();
    const touch = width < 600;
    context = await browser.newContext({
      viewport: { width, height },
      colorScheme: scheme,
      // Its own, wherever the tests run.
      timezoneId: zone ?? "UTC",
      deviceScaleFactor: touch ? 2 : 1,
      hasTouch: touch,
      isMobile: touch,
    });
    for (const [path, folder] of Object.entries(files)) {
      await context.route(`**${path}**`, async (route) => {
        const name = join(folder, new URL(route.request().url()).pathname.slice(path.length));
        await route.fulfill(existsSync(name) ? { path: name } : { status: 404 });
      });
    }
    page = await context.newPage();
    if (clock) await page.clock.install();
    problems = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => problems.push(`exception: ${error.stack}`));
    await page.goto(url);
    await commands.until({ script: STARTED, ms: 10_000 });
  },
  /** The same person comes back: the browser has kept what it was allowed to keep. */
  async again({ url }) {
    await page.goto("about:blank");
    await page.goto(url);
    await commands.until({ script: STARTED, ms: 10_000 });
  },
  evaluate: ({ script }) => page.evaluate(script),
  /** Waits until the script's value is true; tells whether it came to that. */
  async until({ script, ms }) {
    const deadline = Date.now() + ms;
    // Asked from here: the page's content security policy forbids it to evaluate text itself.
    while (!(await page.evaluate(script))) {
      if (Date.now() > deadline) return false;
      await setTimeout(POLL_MS);
    }
    return true;
  },
  click: ({ selector }) => page.click(selector, { timeout: 5_000 }),
  type: ({ text }) => page.keyboard.type(text),
  press: ({ key }) => page.keyboard.press(key),
  /** See scrolling.mjs. */
  scroll: (how) => scroll(page, how),
  /** `act`: `move`, then `down`, `up`. */
  mouse: ({ act, x, y }) => (act === "move" ? page.mouse.move(x, y) : page.mouse[act]()),
  offline: ({ on }) => context.setOffline(on),
  /** As after a sleep: the clocks have gone on, and what was due meanwhile happens once. */
  forward: ({ ms }) => page.clock.fastForward(ms),
  /** Bytes in use once what nobody needs is gone. */
  async heap() {
    const session = await context.newCDPSession(page);
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    await session.detach();
    return usedSize;
  },
  /** What axe-core finds serious or worse: its rule, and where. */
  async axe() {
    await page.evaluate(axe);
    const { violations } = await page.evaluate("axe.run()");
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join("; ")}`);
  },
  async screenshot({ path }) {
    await page.screenshot({ path });
  },
  problems: () => problems,
  /** The page goes away: one that is left open goes on drawing. */
  async close() {
    await context?.close();
    context = page = null;
  },
};

const answer = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

answer({ ok: browser.version() });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    answer({ ok: (await commands[command.do](command)) ?? null });
  } catch (error) {
    answer({ error: String(error) });
  }
}
await browser.close();
