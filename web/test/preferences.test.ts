import { expect, test } from "vitest";
import { checked, DEFAULTS, toggled } from "../src/page/preferences";

test.each([null, undefined, 7, "x", [], {}, { type: "pie", log: "yes", maLength: "many", zone: "Moon/Crater" }])(
  "of %o nothing is taken over",
  (stored) => {
    expect(checked(stored)).toEqual(DEFAULTS);
  },
);

test("what is valid is kept, what is not falls back alone", () => {
  const found = checked({
    ...{ type: "line", log: true, colours: "blue", sort: "fall", zone: "Asia/Tokyo", maLength: 7.4, emaLength: 0 },
    ...{ rsiLength: 9_999, favourites: ["BTCUSDT", 7, "BTCUSDT", "ETHUSDT"], vwap: 1 },
  });
  expect(found).toEqual({
    ...DEFAULTS,
    ...{ type: "line", log: true, colours: "blue", sort: "fall", zone: "Asia/Tokyo", maLength: 7, emaLength: 2 },
    ...{ rsiLength: 400, favourites: ["BTCUSDT", "ETHUSDT"] },
  });
  expect(checked(JSON.parse(JSON.stringify(found)))).toEqual(found);
  expect(checked({ zone: "local" }).zone).toBe("local");
});

test("a favourite comes and goes, in the order in which they were chosen", () => {
  expect(toggled(["A", "B"], "C")).toEqual(["A", "B", "C"]);
  expect(toggled(["A", "B", "C"], "B")).toEqual(["A", "C"]);
});
