import { expect, test } from "vitest";
import { mayPrefetch } from "../src/page/network";
import { type OutageInput, outageOf } from "../src/page/outage";

const lost: OutageInput = { why: "reconnecting", reason: null, retryInMs: 6_400, polled: false };

test.each(["live", "late", "loading", "failed"] as const)("of what is %s there is nothing to say", (why) => {
  expect(outageOf({ ...lost, why })).toEqual({ text: "", retry: false, old: "none" });
});

test("a lost connection says when it is tried again, counts down to one, and can be tried now", () => {
  expect(outageOf(lost)).toEqual({ text: "The connection is lost. Next attempt in 7 s.", retry: true, old: "all" });
  expect(outageOf({ ...lost, why: "offline", retryInMs: -3 }).text).toBe(
    "The connection is lost. Next attempt in 1 s.",
  );
  expect(outageOf({ ...lost, retryInMs: null }).text).toBe("The connection is lost. Connecting …");
});

test("a chart that is polled says so", () => {
  expect(outageOf({ ...lost, polled: true }).text).toBe(
    "No live connection: the chart is updated every few seconds. Next attempt in 7 s.",
  );
});

test("Redis away is said as such, and nothing can be pressed: the gateway connects by itself", () => {
  const outage = outageOf({ ...lost, why: "stale", reason: "redis" });
  expect(outage.text).toContain("lost its data source (Redis)");
  expect(outage).toMatchObject({ retry: false, old: "all" });
});

test("a halted market leaves the others as they are", () => {
  expect(outageOf({ ...lost, why: "stale", reason: "symbol" }).old).toBe("market");
});

test("a reason that is not known is no reason to say nothing", () => {
  const silent = outageOf({ ...lost, why: "stale", reason: "silent" });
  expect(outageOf({ ...lost, why: "stale" })).toEqual(silent);
  expect(outageOf({ ...lost, why: "stale", reason: "new" as "silent" })).toEqual(silent);
});

test("a refusal can be tried again", () => {
  expect(outageOf({ ...lost, why: "refused" })).toMatchObject({ retry: true, old: "all" });
});

test.each([
  [undefined, true],
  [{}, true],
  [{ effectiveType: "4g", downlink: 10, saveData: false }, true],
  [{ effectiveType: "3g", downlink: 10 }, false],
  [{ effectiveType: "4g", downlink: 0.4 }, false],
  [{ effectiveType: "4g", downlink: 10, saveData: true }, false],
])("a line of %o has room for more than what is wanted: %s", (hints, room) => {
  expect(mayPrefetch(hints)).toBe(room);
});
