// Compiles programs as a project with the client library would: a module each, strict, for a page.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("..", import.meta.url));
const CLIENT = join(WEB, "../clients/web/src/client");
const OPTIONS = {
  strict: true,
  noEmit: true,
  noUnusedLocals: true,
  target: "es2022",
  module: "esnext",
  moduleResolution: "bundler",
  moduleDetection: "force",
  allowImportingTsExtensions: true,
  lib: ["es2023", "dom", "dom.iterable"],
  types: [],
  paths: {
    "kline-gateway-client": [join(CLIENT, "index.ts")],
    "kline-gateway-client/history": [join(CLIENT, "history.ts")],
  },
};

/** What the compiler has against them; "" if nothing. */
export function compile(/** @type {readonly string[]} */ programs) {
  const folder = mkdtempSync(join(tmpdir(), "kline-gateway-try-"));
  try {
    const files = programs.map((_, index) => `program-${index}.ts`);
    programs.forEach((text, index) => {
      writeFileSync(join(folder, `program-${index}.ts`), text);
    });
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: OPTIONS, files }));
    return execFileSync("node", [join(WEB, "node_modules/typescript/bin/tsc"), "-p", folder], { encoding: "utf8" });
  } catch (error) {
    return `${error.stdout}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
