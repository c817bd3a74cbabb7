import { describe, expect, test } from "vitest";
import {
  allKlines,
  type Change,
  EMPTY,
  foldKline,
  foldSnapshot,
  foldTicker,
  missingKlines,
  newestClosed,
  newestKline,
  type Series,
  seriesOf,
} from "../src/client/fold";
import type { Kline } from "../src/client/types";
import { forming, kline, MINUTE, snapshot } from "./builders";

const KEEP = 100;
const held: Series = { closed: [kline(1), kline(2)], forming: forming(3) };

test("klines in a row and a series are two forms of the same", () => {
  for (const series of [EMPTY, held, { closed: [kline(1)], forming: null }]) {
    expect(seriesOf(allKlines(series))).toEqual(series);
  }
});

describe("a snapshot", () => {
  test("replaces everything held", () => {
    const { series, change } = foldSnapshot(held, snapshot({ klines: [kline(7)], forming: forming(8) }), KEEP);
    expect(series).toEqual({ closed: [kline(7)], forming: forming(8) });
    expect(change.kind).toBe("reset");
  });

  test("that was not recovered replaces everything held", () => {
    const { series, change } = foldSnapshot(held, snapshot({ klines: [kline(9)], recovered: false }), KEEP);
    expect(series).toEqual({ closed: [kline(9)], forming: null });
    expect(change.kind).toBe("reset");
  });

  test("keeps no more closed klines than requested", () => {
    const { series } = foldSnapshot(EMPTY, snapshot({ klines: [kline(1), kline(2), kline(3)] }), 2);
    expect(series.closed).toEqual([kline(2), kline(3)]);
  });

  test("that was recovered continues what is held, and tells the klines a chart needs", () => {
    const { series, change } = foldSnapshot(
      held,
      snapshot({ klines: [kline(3), kline(4)], forming: forming(5), recovered: true }),
      KEEP,
    );
    expect(series).toEqual({ closed: [kline(1), kline(2), kline(3), kline(4)], forming: forming(5) });
    expect(change).toEqual({ kind: "klines", klines: [kline(3), kline(4), forming(5)] });
  });

  test("that was recovered does not add a kline twice", () => {
    const { series } = foldSnapshot(held, snapshot({ klines: [kline(2), kline(3)], recovered: true }), KEEP);
    expect(series).toEqual({ closed: [kline(1), kline(2), kline(3)], forming: null });
  });

  test("that was recovered can begin an empty series", () => {
    const { series, change } = foldSnapshot(EMPTY, snapshot({ klines: [kline(2)], recovered: true }), KEEP);
    expect(series.closed).toEqual([kline(2)]);
    expect(change).toEqual({ kind: "klines", klines: [kline(2)] });
  });

  test("that was recovered and has nothing changes nothing", () => {
    const idle: Series = { closed: [kline(1)], forming: null };
    const { series, change } = foldSnapshot(idle, snapshot({ recovered: true }), KEEP);
    expect(series).toEqual(idle);
    expect(change.kind).toBe("none");
    expect(foldSnapshot(EMPTY, snapshot({ recovered: true }), KEEP).change.kind).toBe("none");
  });

  test("that was recovered without the forming kline a chart shows makes it draw anew", () => {
    const { series, change } = foldSnapshot(held, snapshot({ recovered: true }), KEEP);
    expect(series).toEqual({ closed: [kline(1), kline(2)], forming: null });
    expect(change.kind).toBe("reset");
  });

  test("that was recovered and fills a hole before the forming kline makes a chart draw anew", () => {
    const hole: Series = { closed: [kline(1)], forming: forming(3) };
    const { series, change } = foldSnapshot(
      hole,
      snapshot({ klines: [kline(2)], forming: forming(3), recovered: true }),
      KEEP,
    );
    expect(series).toEqual({ closed: [kline(1), kline(2)], forming: forming(3) });
    expect(change.kind).toBe("reset");
  });

  test.each([1, 2])("that was recovered does not form again what has closed: %d", (index) => {
    const idle: Series = { closed: [kline(1), kline(2)], forming: null };
    const { series, change } = foldSnapshot(idle, snapshot({ forming: forming(index), recovered: true }), KEEP);
    expect(series).toEqual(idle);
    expect(change.kind).toBe("none");
  });
});

describe("an update of a kline channel", () => {
  test("without an open time changes the named fields of the forming kline", () => {
    const { series, change } = foldKline(held, { close: 11.5, high: 13 }, KEEP);
    expect(series.forming).toEqual(forming(3, { close: 11.5, high: 13 }));
    expect(change).toEqual({ kind: "klines", klines: [series.forming] });
  });

  test("without an open time and without a forming kline is nothing", () => {
    const idle: Series = { closed: [kline(1)], forming: null };
    expect(foldKline(idle, { close: 1 }, KEEP)).toEqual({ series: idle, change: { kind: "none" } });
  });

  test("that closes the forming kline leaves none", () => {
    const { series, change } = foldKline(held, kline(3, { close: 42 }), KEEP);
    expect(series).toEqual({ closed: [kline(1), kline(2), kline(3, { close: 42 })], forming: null });
    expect(change).toEqual({ kind: "klines", klines: [kline(3, { close: 42 })] });
  });

  test("that closes a later kline than the forming one drops that one", () => {
    expect(foldKline(held, kline(4), KEEP).series).toEqual({ closed: [kline(1), kline(2), kline(4)], forming: null });
  });

  test("keeps no more closed klines than requested", () => {
    expect(foldKline(held, kline(3), 2).series.closed).toEqual([kline(2), kline(3)]);
  });

  test("with a whole forming kline replaces the forming kline", () => {
    const { series } = foldKline(held, forming(3, { close: 7 }), KEEP);
    expect(series.forming).toEqual(forming(3, { close: 7 }));
  });

  test("opens the next kline, also as the very first", () => {
    expect(foldKline(held, forming(4), KEEP).series.forming).toEqual(forming(4));
    expect(foldKline(EMPTY, forming(4), KEEP).series.forming).toEqual(forming(4));
    expect(foldKline({ closed: [kline(3)], forming: null }, forming(4), KEEP).series.forming).toEqual(forming(4));
  });

  test.each([
    ["older than the forming one", held, forming(2)],
    ["closed already", { closed: [kline(3)], forming: null }, forming(3)],
  ])("with a forming kline that is %s leaves the series untouched", (_name, series: Series, update: Kline) => {
    expect(foldKline(series, update, KEEP)).toEqual({ series, change: { kind: "none" } });
  });

  test("with another version of a closed kline replaces it and draws anew", () => {
    const { series, change } = foldKline(held, kline(1, { close: 99 }), KEEP);
    expect(series).toEqual({ closed: [kline(1, { close: 99 }), kline(2)], forming: forming(3) });
    expect(change.kind).toBe("reset");
  });

  test("with a closed kline older than all held leaves the series untouched", () => {
    expect(foldKline(held, kline(0), KEEP)).toEqual({ series: held, change: { kind: "none" } });
  });

  test("with a closed kline before the forming kline keeps that kline and draws anew", () => {
    const early: Series = { closed: [kline(1)], forming: forming(3) };
    const { series, change } = foldKline(early, kline(2), KEEP);
    expect(series).toEqual({ closed: [kline(1), kline(2)], forming: forming(3) });
    expect(change.kind).toBe("reset");
  });

  test("changes nothing in place", () => {
    const before = structuredClone(held);
    foldKline(held, kline(3), KEEP);
    foldKline(held, { close: 1 }, KEEP);
    foldKline(held, kline(1, { close: 2 }), KEEP);
    expect(held).toEqual(before);
  });
});

test("a ticker's update replaces the fields it names", () => {
  expect(foldTicker({ c: 1, h: 3 }, { c: 2 })).toEqual({ c: 2, h: 3 });
  expect(foldTicker(null, { c: 2 })).toEqual({ c: 2 });
});

test("the newest kline is the forming one, else the last closed", () => {
  expect(newestKline(held)).toEqual(forming(3));
  expect(newestKline({ closed: [kline(1)], forming: null })).toEqual(kline(1));
  expect(newestKline(EMPTY)).toBeNull();
  expect(newestClosed(held)).toEqual(kline(2));
  expect(newestClosed(EMPTY)).toBeNull();
});

test("all klines are the closed ones and then the forming one", () => {
  expect(allKlines(held)).toEqual([kline(1), kline(2), forming(3)]);
  expect(allKlines({ closed: [kline(1)], forming: null })).toEqual([kline(1)]);
});

/** A small gateway: a random market, a client that is cut off at times, and a chart that refuses older klines. */
test.each(Array.from({ length: 40 }, (_, seed) => seed + 1))(
  "a random session ends where the gateway is (seed %i)",
  (seed) => {
    let state = seed;
    const random = (): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    const gateway = { closed: [kline(0)], forming: forming(1) };
    let client: Series = EMPTY;
    const chart = new Map<number, Kline>();
    const draw = (change: Change): void => {
      if (change.kind === "reset") {
        chart.clear();
        for (const one of allKlines(client)) chart.set(one.openTime, one);
      } else if (change.kind === "klines") {
        for (const one of change.klines) {
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
      const update: Kline[] = [];
      let diff: Partial<Kline> | null = null;
      if (dice < 0.2) {
        const closed = { ...gateway.forming, isClosed: true };
        gateway.closed.push(closed);
        gateway.forming = forming(closed.openTime / MINUTE + 1, { close: random() });
        update.push(closed, gateway.forming);
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
      for (const item of diff === null ? update : [diff]) {
        const folded = foldKline(client, item, KEEP);
        client = folded.series;
        draw(folded.change);
      }
      expect(client).toEqual({ closed: gateway.closed, forming: gateway.forming });
      expect([...chart.values()]).toEqual(allKlines(client));
    }
  },
);

test("a series is continued with what has passed since its last closed kline, or asked for whole", () => {
  const series = { closed: [kline(1), kline(2)], forming: null };
  expect(missingKlines(series, 500, 3 * MINUTE)).toBe(3);
  expect(missingKlines(series, 500, 3 * MINUTE + 30_000)).toBe(3);
  expect(missingKlines(series, 500, 13 * MINUTE - 1)).toBe(12);
  expect(missingKlines(series, 500, 0)).toBe(2);
  expect(missingKlines(series, 500, 1_000 * MINUTE)).toBe(500);
  expect(missingKlines(null, 500, 0)).toBe(500);
  expect(missingKlines({ closed: [], forming: kline(1) }, 500, 0)).toBe(500);
});
