"use client";

// Shows what went wrong in place of the components that cannot go on, and lets the user try again.

import type { MarketStore } from "kline-gateway-client/store";
import { Component, type ReactElement, type ReactNode } from "react";
import { BoundaryContext, StoreContext } from "./context.ts";

export interface Fallback {
  /** A `MarketDataError` (with the gateway's code), or whatever else a component below has thrown. */
  readonly error: Error;
  /** Renders the components anew, and connects again if need be. */
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

  readonly #retry = (): void => {
    this.context?.retry();
    this.setState({ error: null });
  };

  override render(): ReactElement {
    const { error } = this.state;
    const { fallback = message, children } = this.props;
    const shown = error === null ? children : fallback({ error, retry: this.#retry });
    return <BoundaryContext.Provider value={error === null}>{shown}</BoundaryContext.Provider>;
  }
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
