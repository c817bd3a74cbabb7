// @vitest-environment node
import { expect, test } from "vitest";
import { isSame } from "../src/use-readable";

test.each([
  [1, 1, true],
  [Number.NaN, Number.NaN, true],
  ["a", "b", false],
  [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
  [{ a: 1 }, { a: 2 }, false],
  [{ a: 1 }, { a: 1, b: 2 }, false],
  [[1, 2], [1, 2], true],
  [[1, 2], [2, 1], false],
  [[], {}, false],
  [null, {}, false],
  [{}, null, false],
  [new Map(), new Map(), false],
])("%j and %j: %s", (one, other, same) => {
  expect(isSame(one, other)).toBe(same);
});
