import { describe, expect, test } from "vitest";
import {
  allBars,
  type Change,
  EMPTY,
  foldKline,
  foldSnapshot,
  foldTicker,
  newestBar,
  newestClosed,
  type Series,
  seriesOf,
} from "../src/client/fold";
import type { Kline } from "../src/client/types";
import { bar, forming, MINUTE, snapshot } from "./builders";

const KEEP = 100;
const held: Series = { closed: [bar(1), bar(2)], forming: forming(3) };

test("bars in a row and a series are two forms of the same", () => {
  for (const series of [EMPTY, held, { closed: [bar(1)], forming: null }]) {
    expect(seriesOf(allBars(series))).toEqual(series);
  }
});

describe("a snapshot", () => {
  test("replaces everything held", () => {
    const { series, change } = foldSnapshot(held, snapshot({ klines: [bar(7)], forming: forming(8) }), KEEP);
    expect(series).toEqual({ closed: [bar(7)], forming: forming(8) });
    expect(change.kind).toBe("reset");
  });

  test("that was not recovered replaces everything held", () => {
    const { series, change } = foldSnapshot(held, snapshot({ klines: [bar(9)], recovered: false }), KEEP);
    expect(series).toEqual({ closed: [bar(9)], forming: null });
    expect(change.kind).toBe("reset");
  });

  test("keeps no more closed klines than asked", () => {
    const { series } = foldSnapshot(EMPTY, snapshot({ klines: [bar(1), bar(2), bar(3)] }), 2);
    expect(series.closed).toEqual([bar(2), bar(3)]);
  });

  test("that was recovered continues what is held, and tells the bars a chart needs", () => {
    const { series, change } = foldSnapshot(
      held,
      snapshot({ klines: [bar(3), bar(4)], forming: forming(5), recovered: true }),
      KEEP,
    );
    expect(series).toEqual({ closed: [bar(1), bar(2), bar(3), bar(4)], forming: forming(5) });
    expect(change).toEqual({ kind: "bars", bars: [bar(3), bar(4), forming(5)] });
  });

  test("that was recovered does not add a kline twice", () => {
    const { series } = foldSnapshot(held, snapshot({ klines: [bar(2), bar(3)], recovered: true }), KEEP);
    expect(series).toEqual({ closed: [bar(1), bar(2), bar(3)], forming: null });
  });

  test("that was recovered can begin an empty series", () => {
    const { series, change } = foldSnapshot(EMPTY, snapshot({ klines: [bar(2)], recovered: true }), KEEP);
    expect(series.closed).toEqual([bar(2)]);
    expect(change).toEqual({ kind: "bars", bars: [bar(2)] });
  });

  test("that was recovered and has nothing changes nothing", () => {
    const idle: Series = { closed: [bar(1)], forming: null };
    const { series, change } = foldSnapshot(idle, snapshot({ recovered: true }), KEEP);
    expect(series).toEqual(idle);
    expect(change.kind).toBe("none");
    expect(foldSnapshot(EMPTY, snapshot({ recovered: true }), KEEP).change.kind).toBe("none");
  });

  test("that was recovered without the forming bar a chart shows makes it draw anew", () => {
    const { series, change } = foldSnapshot(held, snapshot({ recovered: true }), KEEP);
    expect(series).toEqual({ closed: [bar(1), bar(2)], forming: null });
    expect(change.kind).toBe("reset");
  });
});

describe("an update of a kline channel", () => {
  test("without an open time changes the named fields of the forming bar", () => {
    const { series, change } = foldKline(held, { close: 11.5, high: 13 }, KEEP);
    expect(series.forming).toEqual(forming(3, { close: 11.5, high: 13 }));
    expect(change).toEqual({ kind: "bars", bars: [series.forming] });
  });

  test("without an open time and without a forming bar is nothing", () => {
    const idle: Series = { closed: [bar(1)], forming: null };
    expect(foldKline(idle, { close: 1 }, KEEP)).toEqual({ series: idle, change: { kind: "none" } });
  });

  test("that closes the forming bar leaves none", () => {
    const { series, change } = foldKline(held, bar(3, { close: 42 }), KEEP);
    expect(series).toEqual({ closed: [bar(1), bar(2), bar(3, { close: 42 })], forming: null });
    expect(change).toEqual({ kind: "bars", bars: [bar(3, { close: 42 })] });
  });

  test("that closes a later bar than the forming one drops that one", () => {
    expect(foldKline(held, bar(4), KEEP).series).toEqual({ closed: [bar(1), bar(2), bar(4)], forming: null });
  });

  test("keeps no more closed klines than asked", () => {
    expect(foldKline(held, bar(3), 2).series.closed).toEqual([bar(2), bar(3)]);
  });

  test("with a whole forming bar replaces the forming bar", () => {
    const { series } = foldKline(held, forming(3, { close: 7 }), KEEP);
    expect(series.forming).toEqual(forming(3, { close: 7 }));
  });

  test("opens the next bar, also as the very first", () => {
    expect(foldKline(held, forming(4), KEEP).series.forming).toEqual(forming(4));
    expect(foldKline(EMPTY, forming(4), KEEP).series.forming).toEqual(forming(4));
    expect(foldKline({ closed: [bar(3)], forming: null }, forming(4), KEEP).series.forming).toEqual(forming(4));
  });

  test.each([
    ["older than the forming one", held, forming(2)],
    ["closed already", { closed: [bar(3)], forming: null }, forming(3)],
  ])("with a forming bar that is %s leaves the series untouched", (_name, series: Series, news: Kline) => {
    expect(foldKline(series, news, KEEP)).toEqual({ series, change: { kind: "none" } });
  });

  test("with another version of a closed kline replaces it and draws anew", () => {
    const { series, change } = foldKline(held, bar(1, { close: 99 }), KEEP);
    expect(series).toEqual({ closed: [bar(1, { close: 99 }), bar(2)], forming: forming(3) });
    expect(change.kind).toBe("reset");
  });

  test("with a closed kline older than all held leaves the series untouched", () => {
    expect(foldKline(held, bar(0), KEEP)).toEqual({ series: held, change: { kind: "none" } });
  });

  test("with a closed kline before the forming bar keeps that bar and draws anew", () => {
    const early: Series = { closed: [bar(1)], forming: forming(3) };
    const { series, change } = foldKline(early, bar(2), KEEP);
    expect(series).toEqual({ closed: [bar(1), bar(2)], forming: forming(3) });
    expect(change.kind).toBe("reset");
  });

  test("changes nothing in place", () => {
    const before = structuredClone(held);
    foldKline(held, bar(3), KEEP);
    foldKline(held, { close: 1 }, KEEP);
    foldKline(held, bar(1, { close: 2 }), KEEP);
    expect(held).toEqual(before);
  });
});

test("a ticker's news replaces the fields it names", () => {
  expect(foldTicker({ c: 1, h: 3 }, { c: 2 })).toEqual({ c: 2, h: 3 });
  expect(foldTicker(null, { c: 2 })).toEqual({ c: 2 });
});

test("the newest bar is the forming one, else the last closed", () => {
  expect(newestBar(held)).toEqual(forming(3));
  expect(newestBar({ closed: [bar(1)], forming: null })).toEqual(bar(1));
  expect(newestBar(EMPTY)).toBeNull();
  expect(newestClosed(held)).toEqual(bar(2));
  expect(newestClosed(EMPTY)).toBeNull();
});

test("all bars are the closed ones and then the forming one", () => {
  expect(allBars(held)).toEqual([bar(1), bar(2), forming(3)]);
  expect(allBars({ closed: [bar(1)], forming: null })).toEqual([bar(1)]);
});

/** A small gateway: a random market, a client that is cut off at times, and a chart that refuses older bars. */
test.each(Array.from({ length: 40 }, (_, seed) => seed + 1))(
  "a random session ends where the gateway is (seed %i)",
  (seed) => {
    let state = seed;
    const random = (): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    const gateway = { closed: [bar(0)], forming: forming(1) };
    let client: Series = EMPTY;
    const chart = new Map<number, Kline>();
    const draw = (change: Change): void => {
      if (change.kind === "reset") {
        chart.clear();
        for (const one of allBars(client)) chart.set(one.openTime, one);
      } else if (change.kind === "bars") {
        for (const one of change.bars) {
          expect(one.openTime).toBeGreaterThanOrEqual(Math.max(0, ...chart.keys()));
          chart.set(one.openTime, one);
        }
      }
    };
    const join = (resume: number | undefined): void => {
      const klines = gateway.closed.filter((kline) => resume === undefined || kline.openTime > resume);
      const joined = snapshot({
        klines,
        forming: gateway.forming,
        ...(resume !== undefined && { recovered: true }),
      });
      const folded = foldSnapshot(client, joined, KEEP);
      client = folded.series;
      draw(folded.change);
    };
    let online = true;
    join(undefined);
    for (let step = 0; step < 200; step += 1) {
      const dice = random();
      const news: Kline[] = [];
      let diff: Partial<Kline> | null = null;
      if (dice < 0.2) {
        const closed = { ...gateway.forming, isClosed: true };
        gateway.closed.push(closed);
        gateway.forming = forming(closed.openTime / MINUTE + 1, { close: random() });
        news.push(closed, gateway.forming);
      } else if (dice < 0.9) {
        const { openTime: _, ...change } = { ...forming(0), close: random(), volume: random() };
        diff = { close: change.close, volume: change.volume };
        gateway.forming = { ...gateway.forming, ...diff };
      } else if (online) {
        online = false;
      } else {
        online = true;
        join(newestClosed(client)?.openTime);
      }
      if (!online) continue;
      for (const item of diff === null ? news : [diff]) {
        const folded = foldKline(client, item, KEEP);
        client = folded.series;
        draw(folded.change);
      }
      expect(client).toEqual({ closed: gateway.closed, forming: gateway.forming });
      expect([...chart.values()]).toEqual(allBars(client));
    }
  },
);
