// Measures how the page scrolls through a long past: from the newest candle to the first one, zoomed out as far as it goes.
//
//   gateway demo --symbols 2 --port 8000, a minute for its past, then: npm run scroll -- --url http://127.0.0.1:8000/

import { parseArgs } from "node:util";
import { launch } from "./browser.mjs";
import { scroll } from "./scrolling.mjs";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8000/" },
    symbol: { type: "string", default: "BTCUSDT" },
    interval: { type: "string", default: "1m" },
  },
});
const MOST_FRAMES = 20_000;

const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  const session = await page.context().newCDPSession(page);
  const heapMB = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return ((await session.send("Runtime.getHeapUsage")).usedSize / 1e6).toFixed(1);
  };
  const state = () => page.evaluate(() => ({ bars: window.klineGateway.bars.length, ...window.klineGateway.scroll }));
  let requests = 0;
  page.on("request", (request) => {
    if (request.url().includes("/v1/klines")) requests += 1;
  });
  await page.goto(new URL(`#${values.symbol}/${values.interval}`, values.url).href);
  await page.waitForSelector('#app[data-view="chart"][data-level="green"]', { timeout: 20_000 });
  await page.focus("#chart");
  for (let step = 0; step < 12; step += 1) await page.keyboard.press("-");
  const before = { ...(await state()), heap: await heapMB() };
  requests = 0;
  const { frames, ms, framesPerSecond, longestMs } = await scroll(page, {
    selector: "#begin-mark",
    frames: MOST_FRAMES,
    direction: -1,
  });
  const after = { ...(await state()), heap: await heapMB() };
  const days = (before.to - after.from) / 86_400_000;
  const seen = after.begins ? "the first candle" : "not the first candle";
  console.log(`${days.toFixed(1)} days of ${values.interval} in ${(ms / 1_000).toFixed(1)} s, to ${seen}`);
  console.log(`${framesPerSecond.toFixed(1)} frames a second (${frames}), the longest ${longestMs.toFixed(0)} ms`);
  console.log(`${requests} requests; candles in the chart ${before.bars} before, ${after.bars} after`);
  console.log(`JS heap ${before.heap} MB before, ${after.heap} MB after`);
} finally {
  await browser.close();
}
