import { expect, test } from "vitest";
import { Predictor } from "../src/client";

const KNOWN = ["ADAUSDT", "BTCEUR", "BTCUSDT", "DOGEUSDT", "ETHEUR", "ETHUSDT", "SOLUSDT", "XRPUSDT"];

test("at first the table tells, in the same quote asset, and only markets there are", () => {
  const predictor = new Predictor();
  expect(predictor.likely("BTCUSDT", KNOWN, 3)).toEqual(["ETHUSDT", "SOLUSDT", "XRPUSDT"]);
  expect(predictor.likely("BTCEUR", KNOWN, 3)).toEqual(["ETHEUR"]);
});

test("endings that two base assets happen to share are no quote asset", () => {
  expect(new Predictor().likely("BTCUSDT", [...KNOWN, "LTCUSDT", "KNCUSDT"], 2)).toEqual(["ETHUSDT", "SOLUSDT"]);
});

test("a market the table does not have is followed by the usual ones", () => {
  expect(new Predictor({}).likely("XRPUSDT", KNOWN, 9)).toEqual(["BTCUSDT", "ETHUSDT", "SOLUSDT"]);
  expect(new Predictor({}).likely("BTCUSDT", KNOWN, 9)).toEqual(["ETHUSDT", "SOLUSDT"]);
  expect(new Predictor().likely("LONELY", KNOWN, 9)).toEqual([]);
});

test("what this user did goes before what is usual", () => {
  const predictor = new Predictor();
  for (const symbol of ["BTCUSDT", "DOGEUSDT", "BTCUSDT", "ADAUSDT", "BTCUSDT", "ADAUSDT", "ADAUSDT"])
    predictor.record(symbol);
  expect(predictor.likely("BTCUSDT", KNOWN, 3)).toEqual(["ADAUSDT", "DOGEUSDT", "ETHUSDT"]);
  // Where nothing was done yet, a habit from elsewhere counts a little.
  expect(predictor.likely("XRPUSDT", KNOWN, 9)).toContain("DOGEUSDT");
});

test("what was learned can be stored and taken up again", () => {
  const before = new Predictor();
  for (const symbol of ["BTCUSDT", "DOGEUSDT", "BTCUSDT", "DOGEUSDT"]) before.record(symbol);
  const learned = JSON.parse(JSON.stringify(before.learned)) as typeof before.learned;
  expect(learned).toEqual({ BTCUSDT: { DOGEUSDT: 2 }, DOGEUSDT: { BTCUSDT: 1 } });
  expect(new Predictor({}, learned).likely("BTCUSDT", KNOWN, 1)).toEqual(["DOGEUSDT"]);
});

test("old habits fade, so that what is kept stays small and new ones can win", () => {
  const predictor = new Predictor({});
  predictor.record("BTCUSDT");
  const go = (to: string, times: number): void => {
    for (let count = 0; count < times; count += 1) for (const symbol of [to, "BTCUSDT"]) predictor.record(symbol);
  };
  go("XRPUSDT", 1);
  go("DOGEUSDT", 63);
  expect(predictor.learned["BTCUSDT"]).toEqual({ DOGEUSDT: 31.5 });
  go("ADAUSDT", 60);
  expect(predictor.likely("BTCUSDT", KNOWN, 1)).toEqual(["ADAUSDT"]);
});
