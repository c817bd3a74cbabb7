// A service whose gateway is the test: klines by HTTP as given, the stream by hand.

import { KlineDataService } from "../src/client";
import type { Kline, KlineSnapshot } from "../src/client/types";
import { forming, kline, MINUTE, snapshot } from "./builders";
import { FakeSocket } from "./fake-socket";

export const CHANNEL = "kline:BTCUSDT:1m";

export class FakeGateway {
  /** What is stored; answers are the newest of it up to the end asked for. */
  stored: Kline[] = [kline(1), kline(2), forming(3)];
  /** Other paths than the klines. */
  readonly answers: Record<string, unknown> = {};
  readonly requested: string[] = [];
  down = false;
  readonly service: KlineDataService;

  constructor() {
    this.service = new KlineDataService({ url: "http://gateway/", WebSocket: FakeSocket, fetch: this.fetch });
    this.service.stream.onConnection(() => {});
    FakeSocket.last.hello();
  }

  readonly fetch = async (input: URL | RequestInfo): Promise<Response> => {
    const url = input as URL;
    this.requested.push(url.pathname + url.search);
    if (this.down) throw new TypeError("fetch failed");
    if (url.pathname !== "/v1/klines") return new Response(JSON.stringify(this.answers[url.pathname]));
    const end = Number(url.searchParams.get("endTime") ?? Number.POSITIVE_INFINITY);
    const klines = this.stored.filter((kline) => kline.openTime <= end).slice(-Number(url.searchParams.get("limit")));
    return new Response(JSON.stringify({ symbol: "BTCUSDT", interval: "1m", klines, stale: false }));
  };

  /** Answers the last subscription with what is stored, or after its cursor. */
  serve(over: Partial<KlineSnapshot> = {}): void {
    const command = FakeSocket.last.take().findLast(({ op }) => op === "subscribe");
    const cursor = (command?.["resume"] as Record<string, number> | undefined)?.[CHANNEL];
    FakeSocket.last.say({ op: "subscribed", id: command?.["id"], channels: { [CHANNEL]: { n: 1 } } });
    const klines = this.stored.filter((kline) => kline.isClosed && kline.openTime > (cursor ?? 0));
    const open = this.stored.findLast((kline) => !kline.isClosed) ?? null;
    const recovered = cursor === undefined ? {} : { recovered: true };
    FakeSocket.last.say(snapshot({ n: 1, klines, forming: open, ...recovered, ...over }));
  }

  say(update: unknown): void {
    FakeSocket.last.say({ op: "update", t: Date.now(), u: [[1, update]] });
  }
}

export const minutes = (points: readonly { time?: number; timestamp?: number }[]): number[] =>
  points.map((point) => (point.time ?? point.timestamp ?? 0) / MINUTE);
