// Measures the terminal in Chromium, beside a gateway with a simulated market:
//
//   npm run measure -- --seconds 60 --heap-minutes 10 --symbols 100 --rate 10 --out ../../test-results/terminal
//
// Prints frames a second, what React did (commits, time, renders of each component), the heap after a garbage collection at
// each minute, and what axe-core finds; `--out` is a folder for pictures.

import { spawn } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    "heap-minutes": { type: "string", default: "0" },
    symbols: { type: "string", default: "100" },
    rate: { type: "string", default: "10" },
    out: { type: "string", default: "../../test-results/terminal" },
    /** A gateway that runs already, instead of one of its own. */
    gateway: { type: "string" },
  },
});

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const BUILT = fileURLToPath(new URL("../dist/measured/", import.meta.url));
const SETTLE_S = 5;
const SIZES = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

/** A gateway with a simulated market, each a process of its own; its address, once it serves all of it. */
async function startWorld() {
  const words = ["-m", "tests.browser.world", "--symbols", values.symbols, "--rate", values.rate];
  const world = spawn(`${ROOT}.venv/bin/python`, words, { cwd: ROOT, stdio: ["pipe", "pipe", "ignore"] });
  for await (const line of createInterface({ input: world.stdout }))
    return { url: line, stop: () => world.stdin.end() };
  throw new Error("the gateway ended before it served");
}

/** The built example, on a port of its own. */
async function serveExample() {
  const server = createServer(async (request, response) => {
    const name = new URL(request.url, "http://here").pathname;
    const body = await readFile(join(BUILT, name)).catch(() => null);
    response.writeHead(body === null ? 404 : 200, { "content-type": TYPES[extname(name)] ?? "text/plain" });
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/terminal/index.html`, stop: () => server.close() };
}

/** Counts frames and the longest wait between two of them, in the page. */
const COUNT_FRAMES = `(() => {
  const counted = window.counted = { frames: 0, longestMs: 0 };
  let before = performance.now();
  requestAnimationFrame(function frame(now) {
    counted.frames += 1;
    counted.longestMs = Math.max(counted.longestMs, now - before);
    before = now;
    requestAnimationFrame(frame);
  });
})()`;

async function heapBytes(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize;
}

async function open(browser, name, url) {
  const context = await browser.newContext({ viewport: SIZES[name], colorScheme: "dark", isMobile: name === "phone" });
  const page = await context.newPage();
  page.on("pageerror", (error) => console.log(`exception: ${error.message}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) console.log(`${message.type()}: ${message.text()}`);
  });
  await page.goto(url);
  await page.waitForFunction("document.querySelectorAll('main canvas').length > 0", undefined, { timeout: 20_000 });
  await setTimeout(SETTLE_S * 1_000);
  return page;
}

async function findings(page, axe) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate("axe.run()");
  return violations.map(
    ({ id, impact, nodes }) => `${id} (${impact}): ${nodes.map(({ html }) => html.slice(0, 100)).join("; ")}`,
  );
}

async function measure(page) {
  const seconds = Number(values.seconds);
  const [heap, before] = [await heapBytes(page), await page.evaluate("window.terminal")];
  await page.evaluate(COUNT_FRAMES);
  await setTimeout(seconds * 1_000);
  const [counted, after] = [await page.evaluate("window.counted"), await page.evaluate("window.terminal")];
  const mb = (bytes) => (bytes / 1e6).toFixed(1);
  console.log(
    `frames           ${(counted.frames / seconds).toFixed(1)} a second, longest ${counted.longestMs.toFixed(0)} ms`,
  );
  const commits = after.commits - before.commits;
  const work = (after.renderMs - before.renderMs) / commits;
  console.log(`React commits    ${(commits / seconds).toFixed(1)} a second, ${work.toFixed(2)} ms of rendering each`);
  console.log(`updates          ${((after.updates - before.updates) / seconds).toFixed(0)} a second`);
  console.log(`heap             ${mb(heap)} MB, after ${seconds} s ${mb(await heapBytes(page))} MB`);
  for (let minute = 1; minute <= Number(values["heap-minutes"]); minute += 1) {
    await setTimeout(60_000);
    console.log(`heap             ${minute} min later ${mb(await heapBytes(page))} MB`);
  }
  console.log(`renders in ${seconds} s:`);
  for (const [component, count] of Object.entries(after.renders)) {
    console.log(`  ${component.padEnd(14)} ${count - (before.renders[component] ?? 0)}`);
  }
}

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const world = values.gateway ? { url: values.gateway, stop: () => {} } : await startWorld();
const example = await serveExample();
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
try {
  await mkdir(values.out, { recursive: true });
  const url = `${example.url}?gateway=${encodeURIComponent(world.url)}`;
  console.log(`${values.symbols} symbols x ${values.rate} updates/s, Chromium ${browser.version()}`);
  for (const name of Object.keys(SIZES)) {
    const page = await open(browser, name, url);
    await page.screenshot({ path: join(values.out, `${name}.png`) });
    const found = await findings(page, axe);
    console.log(`axe, ${name}: ${found.length === 0 ? "nothing" : `\n  ${found.join("\n  ")}`}`);
    if (name === "desktop") await measure(page);
    if (name === "phone") {
      await page.getByRole("button", { name: "Watchlist" }).click();
      await setTimeout(1_000);
      await page.screenshot({ path: join(values.out, `${name}-watchlist.png`) });
      const listed = await findings(page, axe);
      console.log(`axe, ${name}, watchlist: ${listed.length === 0 ? "nothing" : `\n  ${listed.join("\n  ")}`}`);
    }
    await page.context().close();
  }
} finally {
  await browser.close();
  example.stop();
  world.stop();
}
