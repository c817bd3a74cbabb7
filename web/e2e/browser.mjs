// Starts the Chromium of this machine, quietly: it talks to nobody but the page under test.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Files that the driver serves come from no address, and a page from nowhere may not talk to this machine.
  "--disable-features=LocalNetworkAccessChecks",
];

/** `CHROMIUM` names another program than the usual places. */
export async function launch() {
  const executablePath = process.env.CHROMIUM ?? PLACES.find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error(`No Chromium in ${PLACES.join(", ")}; CHROMIUM can name one.`);
  // Without a profile of its own it makes a new empty one, and removes it at the end.
  return chromium.launch({ executablePath, args: FLAGS });
}
