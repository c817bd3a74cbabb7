import { expect, test } from "vitest";
import { backoffMs } from "../src/client/backoff";

test.each([
  [0, 500],
  [1, 1_000],
  [2, 2_000],
  [5, 16_000],
  [6, 30_000],
  [60, 30_000],
])("after %i failures the wait is anything up to %i ms", (failures, most) => {
  expect(backoffMs(failures, 0)).toBe(0);
  expect(backoffMs(failures, 0.5)).toBe(most / 2);
  expect(backoffMs(failures, 0.999)).toBeLessThan(most);
});
