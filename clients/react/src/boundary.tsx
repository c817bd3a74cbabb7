"use client";

// Shows what went wrong in place of the components that cannot go on, and lets the user try again.

import { MarketDataError, type MarketStore } from "kline-gateway-client/store";
import { Component, type ReactElement, type ReactNode, useEffect, useRef } from "react";
import { BoundaryContext, StoreContext } from "./context.ts";

export interface Fallback {
  /** A `MarketDataError` (with the gateway's code), or whatever else a component below has thrown. */
  readonly error: Error;
  /** Renders the components anew, here and in other boundaries that show an error, and connects again if need be. */
  readonly retry: () => void;
}

export interface MarketDataBoundaryProps {
  /** Default: the error's message and a button. */
  readonly fallback?: (failed: Fallback) => ReactNode;
  readonly children?: ReactNode;
}

interface State {
  readonly error: Error | null;
}

/** Takes the errors of the hooks and components below. Give it the market as `key` if that can change. */
export class MarketDataBoundary extends Component<MarketDataBoundaryProps, State> {
  static override contextType = StoreContext;
  declare context: MarketStore | null;
  override state: State = { error: null };

  static getDerivedStateFromError(error: unknown): State {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  readonly #again = (): void => this.setState({ error: null });

  readonly #retry = (): void => {
    this.context?.retry();
    this.#again();
  };

  override render(): ReactElement {
    const { error } = this.state;
    const { fallback = message, children } = this.props;
    const shown = error === null ? children : fallback({ error, retry: this.#retry });
    return (
      <BoundaryContext.Provider value={error === null}>
        {shown}
        {error !== null && this.context !== null && <Again store={this.context} error={error} again={this.#again} />}
      </BoundaryContext.Provider>
    );
  }
}

interface AgainProps {
  readonly store: MarketStore;
  readonly error: Error;
  readonly again: () => void;
}

/** While an error is shown: tries again when somebody does so elsewhere on the page, and when there is nothing wrong any more. */
function Again({ store, error, again }: AgainProps): null {
  const failed = useRef(store);
  const refused = error instanceof MarketDataError && error.code === "REFUSED";
  useEffect(() => {
    // With another gateway.
    if (failed.current !== store) again();
    return store.onRetry(again);
  }, [store, again]);
  useEffect(() => {
    if (!refused) return;
    const { connection } = store;
    return connection.subscribe(() => {
      if (connection.get().phase === "open") again();
    });
  }, [store, refused, again]);
  return null;
}

function message({ error, retry }: Fallback): ReactElement {
  return (
    <div role="alert" className="kline-error">
      <p>{error.message}</p>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </div>
  );
}
