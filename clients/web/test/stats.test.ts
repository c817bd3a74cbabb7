import { expect, test } from "vitest";
import { Stopwatch } from "../src/client/stats";

test("before the first time everything is zero", () => {
  expect(new Stopwatch().timing).toEqual({ count: 0, lastMs: 0, p50Ms: 0, p95Ms: 0 });
});

test("the last two hundred times are kept, in whatever order they came", () => {
  const watch = new Stopwatch();
  for (let ms = 1_000; ms < 1_100; ms += 1) watch.note(ms);
  for (let ms = 200; ms > 0; ms -= 1) watch.note(ms);
  expect(watch.timing).toEqual({ count: 300, lastMs: 1, p50Ms: 101, p95Ms: 191 });
});
