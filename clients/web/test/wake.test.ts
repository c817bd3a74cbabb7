import { expect, test } from "vitest";
import { checkOnWake } from "../src/client";

class Page extends EventTarget {
  visibilityState = "visible";
}

test("the connection is checked when the page shows again or the network changes, until it is stopped", () => {
  const page = new Page();
  const network = new EventTarget();
  let checks = 0;
  const stop = checkOnWake({ check: () => (checks += 1) }, page, network);

  page.visibilityState = "hidden";
  page.dispatchEvent(new Event("visibilitychange"));
  expect(checks).toBe(0);

  page.visibilityState = "visible";
  page.dispatchEvent(new Event("visibilitychange"));
  for (const name of ["online", "offline", "pageshow"]) network.dispatchEvent(new Event(name));
  expect(checks).toBe(4);

  stop();
  page.dispatchEvent(new Event("visibilitychange"));
  for (const name of ["online", "offline", "pageshow"]) network.dispatchEvent(new Event(name));
  expect(checks).toBe(4);
});
