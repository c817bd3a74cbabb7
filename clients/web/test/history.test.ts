import { expect, test, vi } from "vitest";
import { fetchKlines, fetchMarkets, HttpError } from "../src/client";
import { kline } from "./builders";

type Fetch = typeof globalThis.fetch;

function answering(status: number, body: string): { fetch: Fetch; calls: string[] } {
  const calls: string[] = [];
  const fetch: Fetch = (url) => {
    calls.push(String(url));
    return Promise.resolve(new Response(body, { status }));
  };
  return { fetch, calls };
}

test("klines are asked for below the gateway's address, whatever prefix it has", async () => {
  const answer = { symbol: "BTCUSDT", interval: "1m", klines: [kline(1)], cached: false, stale: false };
  const { fetch, calls } = answering(200, JSON.stringify(answer));
  const query = { symbol: "BTCUSDT", interval: "1m", limit: 10 };
  expect(await fetchKlines("https://host/charts/", query, { fetch })).toEqual(answer);
  await fetchKlines("https://host/", { symbol: "BTCUSDT", interval: "1m" }, { fetch });
  expect(calls).toEqual([
    "https://host/charts/v1/klines?symbol=BTCUSDT&interval=1m&limit=10",
    "https://host/v1/klines?symbol=BTCUSDT&interval=1m",
  ]);
});

test("a token goes along as the gateway reads it from a request", async () => {
  const fetch = vi.fn<Fetch>(async () => new Response('{"symbols":[],"intervals":[]}'));
  await fetchMarkets("https://host/", { fetch, token: "secret" });
  expect(fetch.mock.calls[0]?.[1]).toMatchObject({ headers: { authorization: "Bearer secret" } });
});

test("the gateway's errors keep their code and words", async () => {
  const { fetch } = answering(503, '{"error":"history is out of seriesHistory","code":"REDIS_ERROR"}');
  const failed = fetchMarkets("https://host/", { fetch });
  await expect(failed).rejects.toThrow(HttpError);
  await expect(failed).rejects.toMatchObject({
    status: 503,
    code: "REDIS_ERROR",
    message: "history is out of seriesHistory",
  });
});

test.each([
  ["a proxy's page", "<html>bad gateway</html>"],
  ["no object", "7"],
  ["null", "null"],
])("%s is not taken for an answer", async (_name, body) => {
  const { fetch } = answering(200, body);
  await expect(fetchMarkets("https://host/", { fetch })).rejects.toMatchObject({ code: "BAD_ANSWER" });
});

test("a request can be given up, and the environment's own fetch is used", async () => {
  const fetch = vi.fn<Fetch>(() => Promise.resolve(new Response('{"symbols":[],"intervals":[]}')));
  vi.stubGlobal("fetch", fetch);
  const { signal } = new AbortController();
  expect(await fetchMarkets("https://host/", { signal })).toEqual({ symbols: [], intervals: [] });
  expect(fetch.mock.calls[0]?.[1]).toMatchObject({ signal });
  vi.unstubAllGlobals();
});
