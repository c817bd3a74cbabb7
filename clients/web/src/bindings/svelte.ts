// For Svelte: a value of the store as a Svelte store, so that `$klines` reads it. It needs no package of Svelte's.

import type { Readable } from "../store/index.ts";

/** What Svelte calls a readable store. */
export interface SvelteStore<T> {
  /** Calls `run` with the value at once and after each change; returns a function that stops it. */
  subscribe(run: (value: T) => void): () => void;
}

/** `const klines = svelteStore(market.klines("BTCUSDT", "1m"))`, with a `MarketStore` as `market`. */
export function svelteStore<T>(readable: Readable<T>): SvelteStore<T> {
  return {
    subscribe(run) {
      // On a server nothing is subscribed to.
      if (typeof window === "undefined") {
        run(readable.initial());
        return () => {};
      }
      const tell = (): void => run(readable.get());
      const stop = readable.subscribe(tell);
      tell();
      return stop;
    },
  };
}
