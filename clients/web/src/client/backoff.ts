// How long to wait before connecting, or asking for a channel, again: full jitter, so that a thousand clients do not come back at once. Pure.

export const FIRST_MS = 500;
export const MAX_MS = 30_000;

/** A random time up to 0.5 s, doubled with every failure up to 30 s. `random` is in [0, 1). */
export function backoffMs(failures: number, random: number): number {
  return random * Math.min(MAX_MS, FIRST_MS * 2 ** failures);
}
