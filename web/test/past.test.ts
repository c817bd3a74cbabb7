import { HttpError, type Kline, type KlinesPage } from "kline-gateway-client";
import { describe, expect, test } from "vitest";
import { CandleWindow, lossText, MOST, SLACK } from "../src/page/past";

const bar = (minute: number, close = 1): Kline => ({
  openTime: minute * 60_000,
  closeTime: minute * 60_000 + 59_999,
  open: 1,
  high: 1,
  low: 1,
  close,
  volume: 1,
  quoteVolume: 1,
  trades: 1,
  isClosed: true,
});

/** From the first minute up to the last one, that one not included. */
const bars = (first: number, end: number): Kline[] =>
  Array.from({ length: end - first }, (_, index) => bar(first + index));
const page = (first: number, end: number, over: Partial<KlinesPage> = {}): KlinesPage => ({
  klines: bars(first, end),
  end: first === end,
  ...over,
});
const minutes = (window: CandleWindow): number[] => window.bars.map(({ openTime }) => openTime / 60_000);
const ends = (window: CandleWindow): (number | undefined)[] => [minutes(window)[0], minutes(window).at(-1)];

/** A live window of the minutes 100 to 199, with room for 40 more. */
function live(most = 40): CandleWindow {
  const window = new CandleWindow(true, most);
  expect(window.reset(bars(100, 200), false)).toBe(true);
  return window;
}

/** A window of the minutes 50 to 69, which the stream's, from 100 on, do not reach. */
function past(most = 1_000): CandleWindow {
  const window = new CandleWindow(false, most);
  window.show(bars(50, 70), false, bars(100, 200));
  return window;
}

describe("a window that needs candles since a time", () => {
  const seen = { from: 90, to: 105 };

  test.each([
    [80, 200, "older"],
    [99, 200, "older"],
    [100, 200, null],
    [80, 110, null],
    [null, 200, null],
  ])("since minute %s, with room for %s candles, wants %s", (minute, most, side) => {
    const since = minute === null ? null : minute * 60_000;
    expect(live(most).wants(seen, true, since)).toBe(side);
  });

  test("wants nothing before the data begins, nor before there is any", () => {
    const window = live(200);
    window.prepend(page(100, 100));
    expect(window.wants(seen, false, 0)).toBeNull();
    expect(new CandleWindow(true).wants({ from: 10, to: 11 }, true, 0)).toBeNull();
  });
});

describe("a window", () => {
  test("keeps more than the client library does", () => {
    expect(MOST).toBeGreaterThan(5_000);
    expect(new CandleWindow(true).bars).toEqual([]);
  });

  test("follows the stream while it is live", () => {
    const window = live();
    window.push(bar(199, 2));
    window.push(bar(200, 3));
    expect(minutes(window)).toEqual(minutes(live()).concat(200));
    expect(window.bars.slice(-2).map(({ close }) => close)).toEqual([2, 3]);
    window.reset([], false);
    window.push(bar(1));
    expect(minutes(window)).toEqual([1]);
  });

  test("does not take the stream's candles while it ends before them", () => {
    const window = past();
    window.push(bar(200));
    expect(window.reset(bars(101, 201), true)).toBe(false);
    expect(ends(window)).toEqual([50, 69]);
    expect(window.live).toBe(false);
  });

  test("knows which moments it covers, and where they are", () => {
    const window = past();
    expect([49.99, 50, 69.99, 70].map((minute) => window.covers(minute * 60_000))).toEqual([false, true, true, false]);
    expect(new CandleWindow(true).covers(0)).toBe(false);
    expect([0, 50, 50.5, 51, 69, 99].map((minute) => window.placeOf(minute * 60_000))).toEqual([0, 0, 0, 1, 19, 19]);
    expect(new CandleWindow(true).placeOf(5)).toBe(0);
  });
});

describe("candles are wanted", () => {
  test("when fewer than a screen and a half are left on a side", () => {
    const window = past();
    expect(window.wants({ from: 10, to: 14 }, false)).toBe("newer");
    expect(window.wants({ from: 5, to: 10 }, false)).toBe("older");
    expect(window.wants({ from: 8, to: 11 }, false)).toBeNull();
  });

  test("on the nearer side where both are near", () => {
    expect(past().wants({ from: 3, to: 13 }, false)).toBe("older");
    expect(past().wants({ from: 7, to: 17 }, false)).toBe("newer");
  });

  test("none after the newest, and none before the first unless it is asked again", () => {
    const window = live();
    expect(window.wants({ from: 90, to: 105 }, false)).toBeNull();
    expect(window.wants({ from: -5, to: 20 }, false)).toBe("older");
    window.prepend(page(100, 100));
    expect(window.begins).toBe(true);
    expect(window.wants({ from: -5, to: 20 }, false)).toBeNull();
    expect(window.wants({ from: -5, to: 20 }, true)).toBe("older");
  });
});

describe("older candles", () => {
  test("come before those that are there, each once", () => {
    const window = live();
    window.prepend(page(80, 101));
    expect(minutes(window)).toEqual(bars(80, 200).map(({ openTime }) => openTime / 60_000));
    expect([window.begins, window.live]).toEqual([false, true]);
  });

  test("are all there is of a window without any", () => {
    const window = new CandleWindow(true);
    window.prepend(page(1, 3));
    expect(minutes(window)).toEqual([1, 2]);
  });

  test("may appear where the data began before", () => {
    const window = live();
    window.prepend(page(100, 100));
    window.prepend(page(90, 100));
    expect(window.begins).toBe(false);
  });

  test("stay when the stream's candles are corrected or go on", () => {
    const window = live();
    window.prepend(page(80, 100));
    expect(window.reset([...bars(150, 200), bar(200, 7)], true)).toBe(true);
    expect(ends(window)).toEqual([80, 200]);
    expect(window.bars.length).toBe(121);
  });

  test("stay where one looks at them while the stream's candles went on without those between", () => {
    const window = live();
    window.prepend(page(100, 100));
    expect(window.reset(bars(300, 400), true)).toBe(false);
    expect(ends(window)).toEqual([100, 199]);
    expect(window.live).toBe(false);
    expect(window.begins).toBe(true);
  });

  test("go where one looks at the newest and those between are missing", () => {
    const window = live();
    window.prepend(page(100, 100));
    expect(window.reset(bars(300, 400), false)).toBe(true);
    expect(ends(window)).toEqual([300, 399]);
    expect([window.live, window.begins]).toEqual([true, false]);
  });
});

describe("newer candles", () => {
  test("come after those that are there, each once", () => {
    const window = past();
    window.append(page(68, 90), bars(100, 200));
    expect(ends(window)).toEqual([50, 89]);
    expect(window.bars.length).toBe(40);
    expect(window.live).toBe(false);
  });

  test("that reach the stream's make the window live again", () => {
    const window = past();
    window.append(page(70, 120), [...bars(100, 200), bar(200, 5)]);
    expect(minutes(window)).toEqual(bars(50, 201).map(({ openTime }) => openTime / 60_000));
    expect(window.live).toBe(true);
    expect(window.bars.at(-1)?.close).toBe(5);
  });

  test("of which there are none join the stream's", () => {
    const window = past();
    window.append(page(70, 70), bars(100, 200));
    expect(ends(window)).toEqual([50, 199]);
    expect(window.live).toBe(true);
  });

  test("that may be missing do not", () => {
    const window = past();
    window.append(page(70, 70, { end: false }), bars(100, 200));
    expect(window.live).toBe(false);
  });

  test("end with the window where the stream has none", () => {
    const window = new CandleWindow(true);
    window.append(page(0, 0), []);
    expect(window.live).toBe(true);
    window.append(page(1, 3), []);
    expect(window.live).toBe(false);
    expect(minutes(window)).toEqual([1, 2]);
  });
});

describe("another part of the past", () => {
  test("replaces what was there", () => {
    const window = live();
    window.show(bars(10, 20), true, bars(100, 200));
    expect([ends(window), window.live, window.begins]).toEqual([[10, 19], false, true]);
  });

  test("joins the stream where it reaches it", () => {
    const window = past();
    window.show(bars(90, 110), false, bars(100, 200));
    expect([ends(window), window.live]).toEqual([[90, 199], true]);
  });

  test("is the newest where there is nothing", () => {
    const window = past();
    window.show([], false, bars(100, 200));
    expect([ends(window), window.live]).toEqual([[100, 199], true]);
  });
});

describe("what is far away is dropped", () => {
  const many = (window: CandleWindow): CandleWindow => {
    window.prepend({ klines: bars(100 - SLACK, 100), end: false });
    return window;
  };

  test("after the view when more is there", () => {
    const window = many(live());
    expect(window.trim({ from: 5, to: 35 })).toBe(true);
    expect(ends(window)).toEqual([100 - SLACK, 100 - SLACK + 39]);
    expect(window.live).toBe(false);
  });

  test("before the view when more is there", () => {
    const window = many(live());
    window.prepend({ klines: [], end: true });
    expect(window.trim({ from: 315, to: 345 })).toBe(true);
    expect(ends(window)).toEqual([160, 199]);
    expect([window.live, window.begins]).toEqual([true, false]);
  });

  test("never what is seen", () => {
    const window = many(live());
    expect(window.trim({ from: -20, to: 380 })).toBe(false);
    expect(window.trim({ from: 100, to: 300 })).toBe(true);
    expect(ends(window)).toEqual([100 - SLACK + 100, 199]);
    expect(window.bars.length).toBeGreaterThan(40);
  });

  test("not before it is worth it", () => {
    expect(live().trim({ from: 50, to: 60 })).toBe(false);
  });
});

test.each([
  ["older", null, "Older candles could not be loaded: the gateway's source is disconnected."],
  ["newer", new TypeError("Failed to fetch"), "Newer candles could not be loaded: the gateway cannot be reached."],
  [
    "newer",
    new HttpError(503, "CIRCUIT_OPEN", ""),
    "Newer candles could not be loaded: the gateway cannot be reached.",
  ],
  ["there", new HttpError(401, "X", ""), "These candles could not be loaded: the token is not valid any more."],
  ["there", new HttpError(403, "X", ""), "These candles could not be loaded: the token is not valid any more."],
  ["older", new HttpError(429, "X", ""), "Older candles could not be loaded: too many requests were sent from here."],
  ["older", new HttpError(503, "X", ""), "Older candles could not be loaded: history is temporarily unavailable."],
  ["older", new HttpError(400, "X", "No such symbol."), "Older candles could not be loaded: No such symbol."],
] as const)("%s candles that are missing have a reason (%#)", (what, error, text) => {
  expect(lossText(what, error)).toBe(text);
});
