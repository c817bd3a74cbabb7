import { expect, test } from "vitest";
import { FIRST_CONNECTION_MS, type ViewInput, viewOf } from "../src/page/view";

const start: ViewInput = {
  symbol: "BTCUSDT",
  interval: "1m",
  markets: "ready",
  bars: 0,
  status: "waiting",
  reason: null,
  error: null,
  connection: "open",
  waitedMs: 0,
};
const failed = (code: string): Partial<ViewInput> => ({ status: "failed", error: { code, message: "because" } });
const later = FIRST_CONNECTION_MS;

test.each<[string, Partial<ViewInput>, string, string]>([
  ["loads at first", { connection: "connecting" }, "loading", ""],
  ["goes on loading while the gateway answers", { waitedMs: later }, "loading", ""],
  ["shows bars whatever else is wrong", { bars: 5, connection: "refused", ...failed("INVALID_SYMBOL") }, "chart", ""],
  ["says when a channel has nothing yet", { status: "live" }, "empty", "No candles of BTCUSDT 1m yet"],
  ["says so of a stale one too", { status: "stale" }, "empty", "No candles of BTCUSDT 1m yet"],
  ["says so where no market is known", { symbol: "", markets: "sourceless" }, "empty", "The data source is offline"],
  ["says when Redis is away", { status: "stale", reason: "redis" }, "empty", "The data source is offline"],
  ["names a malformed market", failed("INVALID_CHANNEL"), "error", "No market called BTCUSDT"],
  ["waits for the list before it names one", { markets: "loading", ...failed("INVALID_SYMBOL") }, "loading", ""],
  ["says when it was refused", { connection: "refused" }, "error", "The gateway refused the connection"],
  ["says when the gateway is away", { connection: "waiting", waitedMs: later }, "error", "The gateway is unavailable"],
  ["says when its lists are away", { markets: "failed", waitedMs: later }, "error", "The gateway is unavailable"],
  ["says when there are no markets", { symbol: "", waitedMs: later }, "empty", "No markets yet"],
  ["asks for a token", { markets: "locked", bars: 5, connection: "waiting" }, "locked", "A token is needed"],
  ["asks for another token", { markets: "denied" }, "locked", "The token is not valid"],
  ["waits for the list of markets", { symbol: "", markets: "loading", waitedMs: later }, "loading", ""],
  ["names an unknown market", failed("INVALID_SYMBOL"), "error", "No market called BTCUSDT"],
  ["names an unknown interval", failed("INVALID_INTERVAL"), "error", "No 1m candles here"],
  ["says when history is away", failed("UNAVAILABLE"), "error", "History is temporarily unavailable"],
  ["gives the gateway's reason for the rest", failed("TOO_MANY_SUBSCRIPTIONS"), "error", "This chart cannot be shown"],
  ["does without a reason", { status: "failed" }, "error", "This chart cannot be shown"],
])("%s", (_name, over, kind, title) => {
  const view = viewOf({ ...start, ...over });
  expect(view.kind).toBe(kind);
  expect("title" in view ? view.title : "").toBe(title);
});

test("an unnamed refusal shows the gateway's words", () => {
  expect(viewOf({ ...start, ...failed("TOO_MANY_SUBSCRIPTIONS") })).toMatchObject({ text: "because" });
});
