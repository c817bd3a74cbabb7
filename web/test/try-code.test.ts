// The programs that the playground writes: every one of TypeScript compiles. Python and curl run in tests/browser.

import { expect, test } from "vitest";
import { type Choice, DIALECTS, FOLLOWED, LANGUAGES, type Language, parseChoice } from "../src/try/choice";
import { code } from "../src/try/code";
import { languageName } from "../src/try/code/text";
import { compile } from "./compile.mjs";

const PLACE = { base: "http://127.0.0.1:8000", token: false };

function all(languages: readonly Language[]): readonly (Choice & { readonly token: boolean })[] {
  return [true, false].flatMap((token) =>
    DIALECTS.flatMap((dialect) =>
      FOLLOWED.flatMap((followed) =>
        languages.map((language) => ({ dialect, symbol: "BTC'USDT", interval: "1m", followed, language, token })),
      ),
    ),
  );
}

test("every program in TypeScript compiles with strict types", () => {
  const programs = all(["typescript", "typescript-plain"]).map((choice) =>
    code(choice, { ...PLACE, token: choice.token }),
  );
  expect(compile(programs)).toBe("");
  expect(compile([`${programs[0]}service.shout();`])).toContain("'shout' does not exist");
}, 60_000);

test("a token is read from the surroundings, never written down, and only where one is needed", () => {
  for (const choice of all(LANGUAGES)) {
    const text = code(choice, { ...PLACE, token: choice.token });
    // A page cannot send one to Binance's streams.
    const impossible = choice.dialect === "binance" && choice.language === "typescript-plain";
    const read = /os\.environ\["KLINE_TOKEN"\]|\$KLINE_TOKEN|sessionStorage\.getItem\("token"\)/.test(text);
    expect([text, read]).toEqual([text, choice.token && !impossible]);
  }
});

test("what a shell reads is one word, whatever the symbol", () => {
  const choice: Choice = {
    dialect: "native",
    symbol: "A'B;$(x)",
    interval: "1m",
    followed: "klines",
    language: "shell",
  };
  expect(code(choice, PLACE)).toContain(
    `echo '{"op":"subscribe","id":1,"channels":["kline:A'\\''B;$(x):1m"],"history":3}' | `,
  );
});

test("websocat is given its header in one word: it takes all that follows for headers otherwise", () => {
  const choice: Choice = { ...parseChoice("#binance"), language: "shell" };
  expect(code(choice, { ...PLACE, token: true })).toMatch(/^websocat -n -H="Authorization: Bearer \$KLINE_TOKEN" 'ws:/);
});

test("languages are called by what they use for the dialect", () => {
  const names = (dialect: Choice["dialect"]) =>
    LANGUAGES.map((language) =>
      languageName(language, { dialect, symbol: "BTCUSDT", interval: "1m", followed: "klines", language }),
    );
  expect(names("native")[4]).toBe("curl, websocat");
  expect(names("events")).toEqual([
    "Python, client",
    "Python, urllib",
    "TypeScript, client",
    "TypeScript, EventSource",
    "curl",
  ]);
  expect(names("http")[3]).toBe("TypeScript, fetch");
});
