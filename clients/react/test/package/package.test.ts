import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { snippets } from "../../../web/test/package/packed";
import { Project } from "./project";

const MAX_BYTES = 60_000;
const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const OWN = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
const OLD = JSON.parse(readFileSync(new URL("../react-18/package.json", import.meta.url), "utf8"));
const CHART = { "lightweight-charts": OWN.devDependencies["lightweight-charts"] };

function versions({ devDependencies }: { devDependencies: Record<string, string> }): Record<string, string> {
  return Object.fromEntries(Object.entries(devDependencies).filter(([name]) => /^(@types\/)?react(-dom)?$/.test(name)));
}

const COMPILER = {
  compilerOptions: {
    strict: true,
    noEmit: true,
    jsx: "react-jsx",
    target: "es2022",
    lib: ["es2022", "dom"],
    module: "esnext",
    moduleResolution: "bundler",
    types: [],
  },
  include: ["src"],
};

const SERVER = `
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { ConnectionStatus, KlineProvider, useKlines } from "kline-gateway-react";
import { KlineChart } from "kline-gateway-react/chart";

delete globalThis.WebSocket;
const Count = () => useKlines("BTCUSDT", "1m").closed.length + " klines";
const chart = createElement(KlineChart, { symbol: "BTCUSDT", interval: "1m" });
const html = renderToString(createElement(KlineProvider, { url: "/" }, createElement(ConnectionStatus), createElement(Count), chart));
console.log(html.includes("0 klines") && html.includes("Not connected") && html.includes("BTCUSDT, 1m"));
`;

describe.each([
  ["React 19", versions(OWN)],
  ["React 18", versions(OLD)],
])("a project with %s and the packed packages", (_name, react) => {
  let project: Project;

  beforeAll(() => {
    project = new Project({ ...react, ...CHART });
  }, 240_000);
  afterAll(() => project.remove());

  test("compiles and builds every piece of code of the README", () => {
    const found = snippets(README, "tsx", "ts");
    expect(found.length).toBeGreaterThanOrEqual(5);
    const names = found.map(({ language, code }, index) => {
      project.write(`src/snippet-${index}.${language}`, code);
      return `/src/snippet-${index}.${language}`;
    });
    project.write("tsconfig.json", JSON.stringify(COMPILER));
    expect(project.node("tools/typescript/bin/tsc", "-p", ".")).toBe("");
    const scripts = names.map((name) => `<script type="module" src="${name}"></script>`).join("");
    project.write("index.html", `<!doctype html><title>README</title><div id="root"></div>${scripts}`);
    expect(project.node("tools/vite/bin/vite.js", "build", "--logLevel", "warn", "--minify", "false")).toBe("");
  });

  test("renders on a server in plain Node, without a window and a WebSocket", () => {
    project.write("server.mjs", SERVER);
    expect(project.node("server.mjs")).toBe("true\n");
  });

  test("needs lightweight-charts for the chart alone", () => {
    const code = project.files.map(({ path }) => path).filter((path) => path.endsWith(".js"));
    const importing = (name: string): string[] =>
      code.filter((path) => project.read(`node_modules/kline-gateway-react/${path}`).includes(`from "${name}"`));
    expect(importing("lightweight-charts")).toEqual(["dist/chart.js"]);
    expect(importing("./chart.js")).toEqual([]);
  });

  test("has one React and one client, and nothing of this package but code, types, licence and README", () => {
    const paths = project.files.map(({ path }) => path);
    expect(paths.filter((path) => !/^dist\/[a-z-]+(\.js|\.d\.ts)$/.test(path)).sort()).toEqual([
      "LICENSE",
      "README.md",
      "dist/style.css",
      "dist/style.css.d.ts",
      "package.json",
    ]);
    expect(project.files.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(MAX_BYTES);
    const installed = Object.keys(JSON.parse(project.read("package-lock.json")).packages);
    expect(
      installed.filter((path) => /^node_modules\/(.*\/node_modules\/)?(react|kline-gateway-client)$/.test(path)).sort(),
    ).toEqual(["node_modules/kline-gateway-client", "node_modules/react"]);
  });
});
