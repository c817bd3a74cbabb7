// Takes the README's picture of a running gateway: `npm run screenshot -- --url http://127.0.0.1:8000/ --out page.png`.

import { parseArgs } from "node:util";
import { launch } from "./browser.mjs";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8000/" },
    out: { type: "string", default: "../docs/page.png" },
    width: { type: "string", default: "1440" },
    height: { type: "string", default: "900" },
    scheme: { type: "string", default: "dark" },
    /** Lets the market run a while: prices have moved, the footer counts. */
    seconds: { type: "string", default: "6" },
  },
});

const browser = await launch();
try {
  const page = await browser.newPage({
    viewport: { width: Number(values.width), height: Number(values.height) },
    colorScheme: values.scheme,
  });
  await page.goto(values.url);
  await page.waitForSelector('#app[data-view="chart"][data-level="green"]', { timeout: 20_000 });
  await page.waitForTimeout(Number(values.seconds) * 1_000);
  await page.screenshot({ path: values.out });
  console.log(values.out);
} finally {
  await browser.close();
}
