// What the browser keeps for the next visit: which markets this person looks at one after the other. Nothing else.

import type { Learned } from "kline-gateway-client";

const KEY = "kline-gateway.learned";

/** A store that is switched off, full or was written by something else is as good as an empty one. */
export function recall(): Learned {
  try {
    const learned: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return typeof learned === "object" && learned !== null ? (learned as Learned) : {};
  } catch {
    return {};
  }
}

export function remember(learned: Learned): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(learned));
  } catch {
    // Next time it is learned anew.
  }
}
