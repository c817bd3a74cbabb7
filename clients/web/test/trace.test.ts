// What prefetch is worth: the same session twice, with it and without it. One is recorded: what the page noted while a
// script's mouse and keys led it through half an hour (`web/e2e/record.mjs`); the page decided where a key leads, the
// script's author when to press it. The others are of a model with a seed: habits (two markets compared again and
// again), sectors, and whims. No recording of a person is among them.

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type CacheStats, KlineDataService } from "../src/client";
import { kline } from "./builders";
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
const RECORDED = JSON.parse(readFileSync(new URL("sessions/desk.json", import.meta.url), "utf8")) as {
  readonly known: readonly string[];
  readonly looks: readonly (readonly [atMs: number, symbol: string, interval: string])[];
};

interface Step {
  readonly symbol: string;
  readonly interval: string;
  readonly dwellMs: number;
}

const RECORDED_STEPS: readonly Step[] = RECORDED.looks.map(([atMs, symbol, interval], index, all) => ({
  symbol,
  interval,
  dwellMs: (all[index + 1]?.[0] ?? atMs) - atMs,
}));

/** Numbers in [0, 1) that are the same every time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function modelled(seed: number): readonly Step[] {
  const random = seeded(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() ** 1.5 * all.length)] as T;
  const seen = ["BTC"];
  return Array.from({ length: LOOKS }, () => {
    const at = seen.at(-1) ?? "";
    const sector = SECTORS.find((bases) => bases.includes(at)) ?? [];
    const mood = random();
    const next = mood < 0.35 ? pick(seen.slice(-4)) : mood < 0.75 ? pick(sector) : pick(SECTORS.flat());
    seen.push(next);
    return { symbol: `${next}USDT`, interval: "1m", dwellMs: 3_000 + random() ** 3 * 90_000 };
  });
}

async function browse(steps: readonly Step[], known: readonly string[], prefetch: boolean): Promise<CacheStats> {
  const service = new KlineDataService({
    url: "http://gateway/",
    WebSocket: FakeSocket,
    fetch: async () => new Response(JSON.stringify({ klines: [kline(1)], stale: false })),
    ...(!prefetch && { prefetch: false }),
  });
  for (const { symbol, interval, dwellMs } of steps) {
    await service.fetchKlines(symbol, interval);
    service.viewed(symbol, interval, known);
    await vi.advanceTimersByTimeAsync(dwellMs);
  }
  service.close();
  return service.stats;
}

beforeEach(() => vi.useFakeTimers({ now: 0 }));
afterEach(() => vi.useRealTimers());

test.each([
  ["recorded", RECORDED_STEPS, RECORDED.known],
  ["model 1", modelled(1), KNOWN],
  ["model 2", modelled(2), KNOWN],
] as const)("browsing is answered at once and fresh more often with prefetch (%s)", async (name, steps, known) => {
  const [without, withIt] = [await browse(steps, known, false), await browse(steps, known, true)];
  const fresh = ({ hits, staleHits, misses }: CacheStats): number => hits / (hits + staleHits + misses);
  process.stdout.write(
    `${name}, ${steps.length} looks: fresh at once ${fresh(without).toFixed(2)} -> ${fresh(withIt).toFixed(2)}, ` +
      `at once ${without.hitRate.toFixed(2)} -> ${withIt.hitRate.toFixed(2)}, waits ${without.misses} -> ${withIt.misses}, ` +
      `requests ${without.requests} -> ${withIt.requests}, of ${withIt.prefetched} ahead ${withIt.prefetchUsed} used\n`,
  );
  expect(fresh(withIt)).toBeGreaterThan(fresh(without) + 0.1);
  expect(withIt.misses).toBeLessThan(without.misses);
});
