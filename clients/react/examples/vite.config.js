// Builds the examples beside those of the client library, where the browser tests serve all of them beside a gateway.
// `--mode profiling` builds React with its profiler, for `npm run measure`.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { clientSources } from "../client.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ mode }) => {
  const profiling = mode === "profiling";
  return {
    root: here("."),
    base: "./",
    resolve: {
      alias: [
        ...clientSources,
        ...(profiling ? [{ find: /^react-dom\/client$/, replacement: "react-dom/profiling" }] : []),
      ],
    },
    server: {
      // `npm run example` beside a running gateway: `GATEWAY=http://127.0.0.1:8000 npm run example`.
      proxy: { "/v1": { target: process.env.GATEWAY ?? "http://127.0.0.1:8000", ws: true } },
    },
    build: {
      outDir: profiling ? "../dist/measured" : "../../web/dist/examples",
      emptyOutDir: profiling,
      target: "es2022",
      modulePreload: { polyfill: false },
      rollupOptions: {
        input: [here("react.html"), here("terminal/index.html")],
        // "use client" is for servers that render React Server Components.
        onwarn: (warning, warn) => warning.code !== "MODULE_LEVEL_DIRECTIVE" && warn(warning),
      },
    },
  };
});
