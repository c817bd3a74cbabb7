// The tests of the library. It is built by the TypeScript compiler alone: one ES module a file, with its types.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
    restoreMocks: true,
    // For what hangs: compilers take long beside other work.
    testTimeout: 120_000,
    coverage: {
      provider: "v8",
      reportsDirectory: "../../reports/web-client",
      include: ["src/client/**", "src/adapters/**", "src/store/**", "src/bindings/**"],
      exclude: ["src/client/types.ts", "src/store/readable.ts", "src/**/index.ts"],
      thresholds: { lines: 100, functions: 100, branches: 100, statements: 100 },
    },
  },
});
