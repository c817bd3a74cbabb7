import { expect, test } from "vitest";
import { forming, kline, MINUTE } from "../../clients/web/test/builders";
import { gapsIn, gapsText } from "../src/page/gaps";

test("a gap reaches from the first missing candle to the next one there is", () => {
  expect(gapsIn([kline(1), kline(2), kline(5), kline(6), forming(8)])).toEqual([
    { from: 3 * MINUTE, to: 5 * MINUTE },
    { from: 7 * MINUTE, to: 8 * MINUTE },
  ]);
  expect(gapsIn([kline(1), kline(2)])).toEqual([]);
  expect(gapsIn([])).toEqual([]);
});

test("the newest gaps are named with their times in UTC", () => {
  const gap = (minute: number) => ({ from: minute * MINUTE, to: (minute + 1) * MINUTE });
  expect(gapsText([gap(1)])).toBe("The source has no candles here: 1 Jan 1970, 00:01:00 – 1 Jan 1970, 00:02:00 (UTC)");
  const many = gapsText([1, 3, 5, 7, 9, 11].map(gap));
  expect(many).not.toContain("00:01:00");
  expect(many).toMatch(/00:12:00; and 1 before \(UTC\)$/);
});
