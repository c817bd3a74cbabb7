// @vitest-environment node
import { expect, test } from "vitest";
import { digitsOf } from "../src/digits";

test.each([
  [97_123.45, 2],
  [3_100, 0],
  [0.000_012_34, 8],
  [1.2e-7, 8],
  [1e21, 0],
  [1e-12, 10],
])("%d is shown with %d digits", (price, digits) => {
  expect(digitsOf(price)).toBe(digits);
});
