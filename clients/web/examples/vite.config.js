// Builds the examples; the browser tests serve them beside a gateway, as an application would.
import { defineConfig } from "vite";

const page = (name) => new URL(`./${name}.html`, import.meta.url).pathname;

export default defineConfig({
  root: new URL(".", import.meta.url).pathname,
  base: "./",
  build: {
    outDir: "../dist/examples",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: ["lightweight-charts", "klinecharts", "advanced-charts"].map(page),
    },
  },
});
