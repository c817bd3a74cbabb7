// The tests: everything with React 19 and with React 18, and the packages in a project of their own.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { clientSources } from "./client.js";

const REACT_18 = fileURLToPath(new URL("test/react-18/node_modules/", import.meta.url));

const react18 = [{ find: /^(react|react-dom|@testing-library\/react)(\/.*)?$/, replacement: `${REACT_18}$1$2` }];

const withReact = (name, alias) => ({
  extends: true,
  resolve: { alias: [...alias, ...clientSources] },
  test: { name, environment: "jsdom", include: ["test/*.test.{ts,tsx}"] },
});

const packed = { extends: true, test: { name: "packed", environment: "node", include: ["test/package/*.test.ts"] } };

export default defineConfig({
  test: {
    projects: [withReact("React 19", []), withReact("React 18", react18), packed],
    restoreMocks: true,
    // For what hangs: compilers take long beside other work.
    testTimeout: 120_000,
    coverage: {
      provider: "v8",
      reportsDirectory: "../../reports/react",
      // The chart needs a canvas: the browser tests exercise it.
      include: ["src/**/*.{ts,tsx}"],
      exclude: ["src/index.ts", "src/chart.tsx", "src/**/*.d.ts"],
      thresholds: { lines: 100, functions: 100, branches: 100, statements: 100 },
    },
  },
});
