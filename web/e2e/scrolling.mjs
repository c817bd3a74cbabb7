// Scrolls the page's chart as a wheel does, one turn a frame, and counts frames.

/** Turned a frame, in pixels of a wheel's: the chart moves by 0.8 of it. */
const TURN = 150;

/**
 * Runs in the page: turns the wheel until `selector` is seen, or for `frames` frames. Positive `direction`: towards the
 * newest candles. Returns the frames' times, ms.
 */
async function turn({ selector, frames, direction, turn }) {
  const chart = document.querySelector("#chart");
  const { left, top, width, height } = chart.getBoundingClientRect();
  const at = { clientX: left + width / 2, clientY: top + height / 2 };
  const target = document.elementFromPoint(at.clientX, at.clientY);
  const seen = () => selector !== null && document.querySelector(selector)?.checkVisibility();
  const times = [];
  while (times.length <= frames && !seen()) {
    target.dispatchEvent(
      new WheelEvent("wheel", { ...at, deltaX: direction * turn, bubbles: true, cancelable: true, composed: true }),
    );
    times.push(await new Promise(requestAnimationFrame));
  }
  return times;
}

/** What came of it: frames, how long they took, frames a second and the longest frame. */
export async function scroll(page, { selector = null, frames, direction }) {
  const times = await page.evaluate(turn, { selector, frames, direction, turn: TURN });
  const lengths = times.slice(1).map((time, index) => time - times[index]);
  const ms = lengths.reduce((sum, length) => sum + length, 0);
  return {
    frames: lengths.length,
    ms,
    framesPerSecond: ms === 0 ? 0 : (lengths.length * 1_000) / ms,
    longestMs: Math.max(0, ...lengths),
  };
}
