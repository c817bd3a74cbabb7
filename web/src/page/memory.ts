// Stores for the next visit which markets the user views one after the other. Nothing else.

import type { Learned } from "kline-gateway-client";

const KEY = "kline-gateway.learned";

/** What was stored last; empty if the storage is switched off or was written by something else. */
export function loadLearned(): Learned {
  try {
    const learned: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return typeof learned === "object" && learned !== null ? (learned as Learned) : {};
  } catch {
    return {};
  }
}

export function saveLearned(learned: Learned): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(learned));
  } catch {
    // The storage is full or switched off: the next visit starts without it.
  }
}
