import { afterEach, expect, test, vi } from "vitest";
import { addressOf, streamAddress } from "../src/client/address";

afterEach(() => vi.unstubAllGlobals());

test.each([
  ["http://gateway:8000", "http://gateway:8000/v1/klines"],
  ["http://gateway:8000/", "http://gateway:8000/v1/klines"],
  ["https://example.org/market", "https://example.org/market/v1/klines"],
  ["https://example.org/market/?theme=dark#BTCUSDT", "https://example.org/market/v1/klines"],
  ["https://example.org/market/index.html", "https://example.org/market/v1/klines"],
])("a path of %s is %s", (base, expected) => {
  expect(addressOf("v1/klines", base).href).toBe(expected);
});

test("a relative address is that of the page, and an error where there is none", () => {
  expect(() => addressOf("v1/klines", "/")).toThrow(TypeError);
  vi.stubGlobal("location", { href: "http://page/terminal" });
  expect(addressOf("v1/klines", "/").href).toBe("http://page/v1/klines");
  expect(streamAddress("/gateway")).toBe("ws://page/gateway/v1/stream");
});

test("the stream is as secure as the gateway", () => {
  expect(streamAddress("http://gateway:8000")).toBe("ws://gateway:8000/v1/stream");
  expect(streamAddress("https://gateway/prefix/")).toBe("wss://gateway/prefix/v1/stream");
});
