// Whether likely markets are fetched in advance: as the line allows, until somebody chooses.

import type { KlineDataService } from "kline-gateway-client";
import { element } from "./dom";
import { mayPrefetch, type NetworkHints } from "./network";

export function wirePrefetchChoice(service: KlineDataService): void {
  const box = element<HTMLInputElement>("prefetch");
  const line = (navigator as { readonly connection?: NetworkHints & EventTarget }).connection;
  let chosen = false;
  const follow = (): void => {
    if (!chosen) service.prefetching = box.checked = mayPrefetch(line);
  };
  box.addEventListener("change", () => {
    chosen = true;
    service.prefetching = box.checked;
  });
  line?.addEventListener("change", follow);
  follow();
}
