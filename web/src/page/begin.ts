// The page's entry point: asks for the first candles and draws them while the rest of the code is still loading.

import "./choices";
import { element, nextFrame } from "./dom";
import { firstAnswer } from "./first-load";
import { drawPreview } from "./preview";
import { applyScheme } from "./scheme";

/** How long the candles may delay the rest of the code. */
const HEAD_START_MS = 150;

applyScheme();

async function preview(): Promise<void> {
  const answer = await firstAnswer;
  if (answer === null || answer.klines.length === 0) return;
  drawPreview(element<HTMLCanvasElement>("preview"), answer.klines);
  await nextFrame();
  performance.mark("first-candles");
}

// The rest of the code occupies the processor for longer than these candles do, so it starts after them; a slow gateway
// does not delay it beyond the head start.
void Promise.race([preview(), new Promise((resolve) => setTimeout(resolve, HEAD_START_MS))]).then(
  () => import("./main"),
);
