// Drives the page for the tests: one JSON command a line on stdin, one JSON answer a line on stdout.
// It knows what a browser can do and nothing of what the page should do: that is the tests' part.
//
//   {"do":"open","url":…,"width":…,"height":…,"scheme":"dark"}   {"do":"evaluate","script":…}
//   {"do":"until","script":…,"ms":…}   {"do":"click","selector":…}   {"do":"type","text":…}   {"do":"press","key":…}
//   {"do":"offline","on":…}   {"do":"screenshot","path":…}   {"do":"problems"}
//   < {"ok":…}  or  {"error":"…"}

import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { launch } from "./browser.mjs";

const POLL_MS = 50;

const browser = await launch();
let context = null;
let page = null;
let problems = [];

const commands = {
  /** A new page, as of somebody who was never here. */
  async open({ url, width, height, scheme }) {
    await context?.close();
    const touch = width < 600;
    context = await browser.newContext({
      viewport: { width, height },
      colorScheme: scheme,
      deviceScaleFactor: touch ? 2 : 1,
      hasTouch: touch,
      isMobile: touch,
    });
    page = await context.newPage();
    problems = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => problems.push(`exception: ${error.stack}`));
    await page.goto(url);
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
  offline: ({ on }) => context.setOffline(on),
  async screenshot({ path }) {
    await page.screenshot({ path });
  },
  problems: () => problems,
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
