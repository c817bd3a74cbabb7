// What every example begins with: where the gateway is (here: where the page is from), and what to look at.

import { checkOnWake, KlineDataService } from "../src/client/index.ts";

const query = new URLSearchParams(location.search);

export const url = new URL("/", location.href).href;
export const symbol = query.get("symbol") ?? "BTCUSDT";
export const interval = query.get("interval") ?? "1m";

export const service = new KlineDataService({ url });
checkOnWake(service, document, window);
