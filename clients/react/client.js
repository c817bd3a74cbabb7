// The client library is used as its sources: nothing has to be built before the tests, and an example is one build.
import { fileURLToPath } from "node:url";

const source = (file) => fileURLToPath(new URL(`../web/src/${file}`, import.meta.url));

export const clientSources = [
  { find: /^kline-gateway-client$/, replacement: source("client/index.ts") },
  { find: /^kline-gateway-client\/(adapters|store)$/, replacement: source("$1/index.ts") },
];
