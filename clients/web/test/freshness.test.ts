import { expect, test } from "vitest";
import { type Freshness, type FreshnessInput, freshness, LATE_MS, TOO_OLD_MS } from "../src/client/freshness";

const good: FreshnessInput = { connection: "open", channel: "live", dataAgeMs: 100, silenceMs: 100 };

test.each<[string, Partial<FreshnessInput>, Freshness]>([
  ["is green while live", {}, { level: "green", why: "live" }],
  ["stays green in a quiet market", { dataAgeMs: 10 * TOO_OLD_MS }, { level: "green", why: "live" }],
  ["turns yellow when not even heartbeats come", { silenceMs: LATE_MS + 1 }, { level: "yellow", why: "late" }],
  ["turns yellow when the source is away", { channel: "stale" }, { level: "yellow", why: "stale" }],
  ["turns red when it stays away", { channel: "stale", dataAgeMs: TOO_OLD_MS + 1 }, { level: "red", why: "stale" }],
  ["turns yellow when the connection breaks", { connection: "waiting" }, { level: "yellow", why: "reconnecting" }],
  [
    "keeps yellow while connecting again",
    { connection: "connecting", channel: "waiting" },
    { level: "yellow", why: "reconnecting" },
  ],
  [
    "turns red when it stays broken",
    { connection: "waiting", dataAgeMs: TOO_OLD_MS + 1 },
    { level: "red", why: "reconnecting" },
  ],
  [
    "is yellow at first",
    { connection: "connecting", channel: "waiting", dataAgeMs: null },
    { level: "yellow", why: "loading" },
  ],
  ["is yellow until the first snapshot", { channel: "waiting", dataAgeMs: null }, { level: "yellow", why: "loading" }],
  ["is yellow until the next snapshot", { channel: "waiting" }, { level: "yellow", why: "reconnecting" }],
  ["is red where nothing ever came", { connection: "waiting", dataAgeMs: null }, { level: "red", why: "offline" }],
  ["is red after the end", { connection: "closed", dataAgeMs: null }, { level: "red", why: "offline" }],
  ["is red when refused", { connection: "refused" }, { level: "red", why: "refused" }],
  ["is red for a channel there is not", { channel: "failed", dataAgeMs: null }, { level: "red", why: "failed" }],
])("%s", (_name, over, expected) => {
  expect(freshness({ ...good, ...over })).toEqual(expected);
});
