"use client";
// One service and one store for the components below.

import { checkOnWake, KlineDataService, type KlinesAnswer, type ServiceOptions } from "kline-gateway-client";
import { MarketStore } from "kline-gateway-client/store";
import { type ReactElement, type ReactNode, useEffect, useState } from "react";
import { StoreContext } from "./context.ts";

interface Common {
  /**
   * Answers of `fetchKlines` that a server has fetched and rendered: the page takes them over, and continues from them.
   * Read once.
   */
  readonly initial?: readonly KlinesAnswer[];
  readonly children?: ReactNode;
}

/** Either the gateway's address, with the service's other options, which are read once; or a service of one's own. */
export type KlineProviderProps = Common &
  (
    | { readonly url: string; readonly options?: Omit<ServiceOptions, "url">; readonly service?: undefined }
    | { readonly service: KlineDataService; readonly url?: undefined; readonly options?: undefined }
  );

/**
 * Gives the components below a gateway. Nothing connects before one of them subscribes, and the connection is released some
 * seconds after the last one has left, so there is nothing to close. With another `url` or `service` all begin anew.
 */
export function KlineProvider(props: KlineProviderProps): ReactElement {
  const { initial, children } = props;
  const of = props.service ?? props.url;
  const create = () => {
    const service = props.service ?? new KlineDataService({ ...props.options, url: props.url });
    return { of, store: new MarketStore(service, initial && { initial }) };
  };
  const [made, setMade] = useState(create);
  let current = made;
  if (made.of !== of) {
    current = create();
    setMade(current);
  }
  const { store } = current;
  // Sockets look open after a sleep and are dead.
  useEffect(() => checkOnWake(store.service, document, window), [store]);
  return <StoreContext.Provider value={store}>{children}</StoreContext.Provider>;
}
