// Counts what React does, for `npm run measure`: `window.terminal` tells it.

import type { KlineStream } from "kline-gateway-client";

/** How often each component has rendered. */
const renders: Record<string, number> = {};
let commits = 0;
let renderMs = 0;

/** Called by a component when it renders. */
export function rendered(component: string): void {
  renders[component] = (renders[component] ?? 0) + 1;
}

/** React's profiler: called at each commit, in builds for profiling. */
export function onRender(_id: string, _phase: string, actualMs: number): void {
  commits += 1;
  renderMs += actualMs;
}

export function expose(stream: KlineStream): void {
  const get = () => ({ commits, renderMs, renders: { ...renders }, updates: stream.info.updates });
  Object.defineProperty(window, "terminal", { get, configurable: true });
}
