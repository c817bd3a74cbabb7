import { expect, test } from "vitest";
import { Breaker, FAILURES, OPEN_MS, WITHIN_MS } from "../src/client/breaker";

function opened(at = 0): Breaker {
  const breaker = new Breaker();
  for (let count = 0; count < FAILURES; count += 1) breaker.failed(at);
  return breaker;
}

test("it opens after five failures within half a minute, and not for failures far apart", () => {
  const breaker = new Breaker();
  for (let count = 0; count < 20; count += 1) breaker.failed((count * WITHIN_MS) / (FAILURES - 1));
  expect(breaker.open).toBe(false);
  expect(opened().open).toBe(true);
});

test("open, it admits nothing for ten seconds and then one at a time", () => {
  const breaker = opened(1_000);
  expect(breaker.admits(1_000 + OPEN_MS - 1)).toBe(false);
  expect(breaker.admits(1_000 + OPEN_MS)).toBe(true);
  expect(breaker.admits(1_000 + OPEN_MS)).toBe(false);
});

test("a probe that fails opens it for another time, one that succeeds closes it", () => {
  const breaker = opened(0);
  expect(breaker.admits(OPEN_MS)).toBe(true);
  breaker.failed(OPEN_MS);
  expect(breaker.admits(2 * OPEN_MS - 1)).toBe(false);
  expect(breaker.admits(2 * OPEN_MS)).toBe(true);
  breaker.succeeded();
  expect(breaker.open).toBe(false);
  expect(breaker.admits(2 * OPEN_MS)).toBe(true);
  breaker.failed(2 * OPEN_MS);
  expect(breaker.open).toBe(false);
});

test("somebody who asks in person is let through, together with what else is asked, until that fails too", () => {
  const breaker = opened(0);
  breaker.permit();
  expect([breaker.admits(1), breaker.admits(1), breaker.open]).toEqual([true, true, false]);
  breaker.failed(1);
  expect([breaker.admits(2), breaker.open]).toEqual([false, true]);
  breaker.permit();
  breaker.succeeded();
  breaker.failed(3);
  expect(breaker.open).toBe(false);
});
