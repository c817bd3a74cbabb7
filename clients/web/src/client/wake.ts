// Asks the stream to look at its connection when the page comes back or the network changes:
// a machine that slept keeps sockets that look open and are dead.

/** The part of a page's `document` and `window` this needs, so that a test or another host can stand in. */
export interface Page extends Pick<EventTarget, "addEventListener" | "removeEventListener"> {
  readonly visibilityState: string;
}

export interface Checked {
  check(): void;
}

/** Returns how to stop it. */
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
  // `offline` too: the system may be wrong about it (a gateway on this machine), so the connection is asked.
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
