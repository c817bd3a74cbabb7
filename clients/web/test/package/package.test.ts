import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Project, snippets } from "./packed";

const MAX_BYTES = 200_000;
const TSC = "node_modules/typescript/bin/tsc";
/** The last one that knows the classic resolution of modules. */
const TSC_6 = "node_modules/typescript-6/bin/tsc";
const VITE = "node_modules/vite/bin/vite.js";
const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

let project: Project;

beforeAll(() => {
  const charts = ["klinecharts", "lightweight-charts"];
  project = new Project([...charts, "svelte", "vue", "ws", "@types/ws", "@types/node", "vite"]);
}, 60_000);
afterAll(() => project.remove());

test("the package has the library, its types, its licence and its README, and nothing else", () => {
  const paths = project.files.map(({ path }) => path);
  expect(paths).toEqual(expect.arrayContaining(["LICENSE", "README.md", "package.json"]));
  const code = /^dist\/(client|adapters|store|bindings)\/[a-z-]+(\.js|\.d\.ts)$/;
  expect(paths.filter((path) => !code.test(path)).sort()).toEqual(["LICENSE", "README.md", "package.json"]);
  expect(project.files.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(MAX_BYTES);
});

test("every entry point of the package is there, with its types, for each way of finding it", () => {
  const { main, types, exports, typesVersions } = JSON.parse(
    project.read("node_modules/kline-gateway-client/package.json"),
  ) as {
    main: string;
    types: string;
    exports: Record<string, { types: string; default: string } | string>;
    typesVersions: { "*": Record<string, string[]> };
  };
  const entries = Object.entries(exports).flatMap(([name, entry]) =>
    typeof entry === "string" ? [] : [[name.replace(/^\.\/?/, ""), entry] as const],
  );
  const [[, root] = ["", undefined], ...others] = entries;
  expect({ main, types }).toEqual({ main: root?.default, types: root?.types });
  expect(typesVersions["*"]).toEqual(Object.fromEntries(others.map(([name, entry]) => [name, [entry.types]])));
  const paths = project.files.map(({ path }) => `./${path}`);
  expect(paths).toEqual(expect.arrayContaining(entries.flatMap(([, entry]) => [entry.types, entry.default])));
});

function compile(tsc: string, files: readonly string[], options: object): void {
  const bundler = { module: "esnext", moduleResolution: "bundler", target: "es2022", lib: ["es2022", "dom"] };
  const compilerOptions = { strict: true, noEmit: true, types: [], ...bundler, ...options };
  project.write("tsconfig.json", JSON.stringify({ compilerOptions, files }));
  expect(project.node(tsc, "-p", ".")).toEqual({ failed: false, output: "" });
}

const IMPORTS = `
import { KlineDataService, type Kline } from "kline-gateway-client";
import { fetchKlines } from "kline-gateway-client/history";
import { datafeed } from "kline-gateway-client/adapters";
import { MarketStore } from "kline-gateway-client/store";
import { svelteStore } from "kline-gateway-client/svelte";
export const service: KlineDataService = new KlineDataService({ url: "/" });
export const read: (kline: Kline) => string = ({ close }) => close.toFixed(2);
// @ts-expect-error: there are types, so this is seen.
export const wrong: string = service.pageSize;
export const others = [fetchKlines, datafeed, MarketStore, svelteStore];
`;

test.each([
  ["node10", "commonjs", TSC_6],
  ["node16", "node16", TSC_6],
  ["nodenext", "nodenext", TSC],
  ["bundler", "esnext", TSC],
])("types are found with module resolution %s", (moduleResolution, module, tsc) => {
  project.write("resolution.ts", IMPORTS);
  compile(tsc, ["resolution.ts"], { module, moduleResolution, ...(tsc === TSC_6 && { ignoreDeprecations: "6.0" }) });
});

test("a server imports, requires and makes it without a WebSocket and a page", () => {
  const use = "delete globalThis.WebSocket; new KlineDataService({ url: '/' }); console.log('made');";
  project.write("imports.mjs", `import { KlineDataService } from "kline-gateway-client"; ${use}`);
  project.write("requires.cjs", `const { KlineDataService } = require("kline-gateway-client"); ${use}`);
  expect(project.node("imports.mjs")).toEqual({ failed: false, output: "made\n" });
  expect(project.node("--no-warnings", "requires.cjs")).toEqual({ failed: false, output: "made\n" });
});

test("the README's code compiles with strict types, and Vite builds it", () => {
  const found = snippets(README, "ts");
  expect(found.length).toBeGreaterThanOrEqual(6);
  const all = found.map(({ language, code }, index) => {
    project.write(`src/snippet-${index}.${language}`, code);
    return `src/snippet-${index}.${language}`;
  });
  // The types of other packages are not the subject.
  compile(TSC, all, { skipLibCheck: true, types: ["vite/client", "node"] });
  // What is for Node is not for a page.
  const pages = all.filter((_, index) => !found[index]?.code.includes('from "ws"'));
  const scripts = pages.map((path) => `<script type="module" src="/${path}"></script>`);
  project.write("index.html", `<!doctype html><title>README</title><div id="chart"></div>${scripts.join("")}`);
  const built = project.node(VITE, "build", "--logLevel", "warn", "--minify", "false");
  expect(built).toEqual({ failed: false, output: "" });
});
