import { expect, test } from "vitest";
import { MARK, Zone } from "../src/page/zone";

const BERLIN = new Zone("Europe/Berlin");
const UTC = new Zone("UTC");
const KOLKATA = new Zone("Asia/Kolkata");
const NEW_YORK = new Zone("America/New_York");
const HOUR = 3_600_000;
const WINTER = Date.UTC(2026, 10, 30, 20, 5, 7);

test.each([
  [UTC, WINTER, 0, "UTC"],
  [BERLIN, WINTER, HOUR, "UTC+1"],
  [BERLIN, Date.UTC(2026, 6, 1), 2 * HOUR, "UTC+2"],
  [KOLKATA, WINTER, 5.5 * HOUR, "UTC+5:30"],
  [NEW_YORK, WINTER, -5 * HOUR, "UTC-5"],
])("offsets are those of the zone's clocks, in winter and in summer (%#)", (zone, time, offset, text) => {
  expect(zone.offsetMs(time)).toBe(offset);
  expect(zone.offsetMs(time)).toBe(offset);
  expect(zone.offsetText(time)).toBe(text);
});

test("on the day when clocks change, each hour has its own offset, and a clock's time is found again", () => {
  const change = Date.UTC(2026, 2, 29, 1);
  expect(BERLIN.offsetMs(change - 1)).toBe(HOUR);
  expect(BERLIN.offsetMs(change)).toBe(2 * HOUR);
  for (const time of [change - HOUR, change, change + HOUR, WINTER - 7_000]) {
    expect(BERLIN.instant(BERLIN.local(time).getTime())).toBe(time);
    expect(NEW_YORK.instant(NEW_YORK.local(time).getTime())).toBe(time);
  }
});

test("labels show what the zone's clocks and calendars show", () => {
  const midnight = Date.UTC(2026, 11, 31, 23);
  expect(BERLIN.markText(midnight, MARK.year)).toBe("2027");
  expect(BERLIN.markText(midnight, MARK.month)).toBe("Jan");
  expect(BERLIN.markText(midnight, MARK.day)).toBe("1");
  expect(UTC.markText(midnight, MARK.day)).toBe("31");
  expect(BERLIN.markText(WINTER, MARK.time)).toBe("21:05");
  expect(NEW_YORK.markText(WINTER, MARK.seconds)).toBe("15:05:07");
  expect(UTC.text(WINTER, "date")).toBe("30 Nov 2026");
  expect(BERLIN.text(WINTER, "minutes")).toBe("30 Nov 2026 21:05");
  expect(KOLKATA.text(WINTER, "seconds")).toBe("1 Dec 2026 01:35:07");
});

test.each([
  [Date.UTC(2026, 11, 31, 23), 70],
  [Date.UTC(2026, 10, 30, 23), 60],
  [Date.UTC(2026, 10, 28, 23), 50],
  [Date.UTC(2026, 10, 28, 11), 33],
  [Date.UTC(2026, 10, 28, 5), 32],
  [Date.UTC(2026, 10, 28, 2), 31],
  [Date.UTC(2026, 10, 28, 3), 30],
  [Date.UTC(2026, 10, 28, 3, 30), 22],
  [Date.UTC(2026, 10, 28, 3, 35), 21],
  [Date.UTC(2026, 10, 28, 3, 36), 20],
  [Date.UTC(2026, 10, 28, 3, 36, 1), 10],
])("a mark weighs what it begins in the zone: midnight there, not in Greenwich (%#)", (time, weight) => {
  expect(BERLIN.markWeight(time, time - 1_000)).toBe(weight);
});

test("a mark of the same second weighs nothing, and a zone that is none is refused", () => {
  expect(UTC.markWeight(WINTER, WINTER)).toBe(0);
  expect(() => new Zone("Moon/Crater")).toThrow(RangeError);
});
