// What prefetch is worth: the same person browses twice, with it and without it. The person is a model with a seed, not
// a recording of somebody: habits (two markets compared again and again), sectors, and whims.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type CacheStats, KlineDataService } from "../src/client";
import { bar } from "./builders";
import { FakeSocket } from "./fake-socket";

const SECTORS = [
  ["BTC", "ETH", "SOL", "BNB", "XRP", "LTC", "BCH"],
  ["DOGE", "SHIB", "PEPE", "FLOKI", "BONK", "WIF"],
  ["UNI", "AAVE", "LINK", "CRV", "COMP", "SUSHI", "MKR"],
  ["ARB", "OP", "STRK", "ZK", "IMX", "MANTA"],
  ["APT", "SUI", "SEI", "NEAR", "AVAX", "ADA", "DOT"],
  ["FET", "RENDER", "WLD", "OCEAN", "GRT", "ARKM"],
  ["SAND", "MANA", "AXS", "GALA", "ENJ", "APE"],
];
const KNOWN = SECTORS.flat().map((base) => `${base}USDT`);
const LOOKS = 400;

/** Numbers in [0, 1) that are the same every time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function trace(seed: number): readonly { readonly symbol: string; readonly dwellMs: number }[] {
  const random = seeded(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() ** 1.5 * all.length)] as T;
  const seen = ["BTC"];
  return Array.from({ length: LOOKS }, () => {
    const at = seen.at(-1) ?? "";
    const sector = SECTORS.find((bases) => bases.includes(at)) ?? [];
    const mood = random();
    const next = mood < 0.35 ? pick(seen.slice(-4)) : mood < 0.75 ? pick(sector) : pick(SECTORS.flat());
    seen.push(next);
    return { symbol: `${next}USDT`, dwellMs: 3_000 + random() ** 3 * 90_000 };
  });
}

async function browse(seed: number, prefetch: boolean): Promise<CacheStats> {
  const service = new KlineDataService({
    url: "http://gateway/",
    WebSocket: FakeSocket,
    fetch: async () => new Response(JSON.stringify({ klines: [bar(1)], stale: false })),
    ...(!prefetch && { prefetch: false }),
  });
  for (const { symbol, dwellMs } of trace(seed)) {
    await service.fetchKlines(symbol, "1m");
    service.looked(symbol, "1m", KNOWN);
    await vi.advanceTimersByTimeAsync(dwellMs);
  }
  service.close();
  return service.stats;
}

beforeEach(() => vi.useFakeTimers({ now: 0 }));
afterEach(() => vi.useRealTimers());

test.each([1, 2, 3])("browsing is answered at once and fresh more often with prefetch (person %i)", async (seed) => {
  const [without, withIt] = [await browse(seed, false), await browse(seed, true)];
  const fresh = ({ hits, staleHits, misses }: CacheStats): number => hits / (hits + staleHits + misses);
  process.stdout.write(
    `person ${seed}: fresh at once ${fresh(without).toFixed(2)} -> ${fresh(withIt).toFixed(2)}, ` +
      `at once ${without.hitRate.toFixed(2)} -> ${withIt.hitRate.toFixed(2)}, waits ${without.misses} -> ${withIt.misses}, ` +
      `requests ${without.requests} -> ${withIt.requests}, of ${withIt.prefetched} ahead ${withIt.prefetchUsed} used\n`,
  );
  expect(fresh(withIt)).toBeGreaterThan(fresh(without) + 0.1);
  expect(withIt.misses).toBeLessThan(without.misses);
});
