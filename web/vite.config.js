// Builds the page into the gateway's own folder, so that an installed gateway serves it without Node.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import { defineConfig } from "vitest/config";

// Everything comes from the gateway itself, and no text becomes code or style. The page carries its policy along,
// whoever serves it; only while developing, Vite's own inline styles need to get through.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const policy = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    {
      tag: "meta",
      attrs: { "http-equiv": "Content-Security-Policy", content: POLICY },
      injectTo: "head-prepend",
    },
  ],
};

/** What the first line of code will ask for is on its way before that line has come. */
const preload = {
  name: "preload",
  apply: "build",
  transformIndexHtml: {
    order: "post",
    handler: (_html, { bundle, chunk }) =>
      Object.values(bundle).flatMap(({ fileName }) => {
        const href = `./${fileName}`;
        if (chunk?.imports.includes(fileName) || chunk?.dynamicImports.includes(fileName)) {
          return [{ tag: "link", attrs: { rel: "modulepreload", href }, injectTo: "head" }];
        }
        if (!fileName.endsWith(".woff2")) return [];
        const attrs = { rel: "preload", as: "font", type: "font/woff2", crossorigin: true, href };
        return [{ tag: "link", attrs, injectTo: "head" }];
      }),
  },
};

const client = (file) => fileURLToPath(new URL(`../clients/web/src/client/${file}`, import.meta.url));

const entry = (file) => fileURLToPath(new URL(file, import.meta.url));

const PACKED = { br: promisify(brotliCompress), gz: promisify(gzip) };

/** Compressed once here, not at every request. */
const pack = {
  name: "pack",
  apply: "build",
  async writeBundle({ dir }) {
    for (const name of await readdir(dir, { recursive: true })) {
      if (!/\.(js|css|svg|html)$/.test(name)) continue;
      const plain = await readFile(join(dir, name));
      for (const [ending, compress] of Object.entries(PACKED)) {
        await writeFile(join(dir, `${name}.${ending}`), await compress(plain));
      }
    }
  },
};

export default defineConfig({
  plugins: [policy, preload, pack],
  // Relative addresses: the page works behind any path prefix of a proxy.
  base: "./",
  // The client library is used as its sources: one build, and nothing to install or build before it.
  resolve: {
    alias: [
      { find: /^kline-gateway-client$/, replacement: client("index.ts") },
      { find: /^kline-gateway-client\/history$/, replacement: client("history.ts") },
    ],
  },
  build: {
    outDir: "../gateway/static",
    emptyOutDir: true,
    target: "es2022",
    // Small files as data: addresses would need a looser content security policy.
    assetsInlineLimit: 0,
    modulePreload: false,
    rolldownOptions: { input: [entry("index.html"), entry("try.html")] },
  },
  server: {
    // `npm run dev` beside a running gateway: `GATEWAY=http://127.0.0.1:8000 npm run dev`.
    proxy: {
      "/v1": { target: process.env.GATEWAY ?? "http://127.0.0.1:8000", ws: true },
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
    restoreMocks: true,
    testTimeout: 30_000,
    coverage: {
      provider: "v8",
      reportsDirectory: "../reports/web",
      // The page's own files are exercised by the browser tests; everything without a document is measured here.
      include: [
        "src/page/{format,gaps,indicators,network,outage,preferences,zone,geometry,past,route,precision,view,journal,order,sparkline}.ts",
        "src/try/{choice,describe,dialects,event-stream,frames,pretty}.ts",
        "src/try/code/*.ts",
      ],
      thresholds: { lines: 100, functions: 100, branches: 100, statements: 100 },
    },
  },
});
