// Checks the connection when the page becomes visible or the network changes: after a sleep, sockets look open and are
// dead.

/** The part of a page's `document` and `window` this needs, so that a test or another host can stand in. */
export interface Page extends Pick<EventTarget, "addEventListener" | "removeEventListener"> {
  readonly visibilityState: string;
}

export interface Checked {
  check(): void;
}

/** Returns a function that stops the checks. */
export function checkOnWake(
  stream: Checked,
  page: Page,
  network: Pick<EventTarget, "addEventListener" | "removeEventListener">,
): () => void {
  const check = (): void => stream.check();
  const checkWhenVisible = (): void => {
    if (page.visibilityState === "visible") stream.check();
  };
  page.addEventListener("visibilitychange", checkWhenVisible);
  // `offline` too: the system may be wrong, for example with a gateway on the same machine.
  network.addEventListener("online", check);
  network.addEventListener("offline", check);
  // Restored from the back-forward cache, where sockets are closed.
  network.addEventListener("pageshow", check);
  return () => {
    page.removeEventListener("visibilitychange", checkWhenVisible);
    network.removeEventListener("online", check);
    network.removeEventListener("offline", check);
    network.removeEventListener("pageshow", check);
  };
}
