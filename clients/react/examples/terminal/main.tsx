// A trading terminal in React: a watchlist of all markets, four charts, and on a phone one of the two at a time.
// `?gateway=http://…` names a gateway; without it the page's own server is one.

import { Profiler, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { KlineProvider } from "../../src";
import { onRender } from "./counts";
import { Terminal } from "./terminal";

const gateway = new URLSearchParams(location.search).get("gateway") ?? "/";

createRoot(document.querySelector("#root") as HTMLElement).render(
  <StrictMode>
    <KlineProvider url={gateway}>
      <Profiler id="terminal" onRender={onRender}>
        <Terminal gateway={gateway} />
      </Profiler>
    </KlineProvider>
  </StrictMode>,
);
