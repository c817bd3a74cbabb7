// On a narrow screen the list of markets is a sheet over the page: opening, closing, and where the focus goes.

import { element } from "./dom";

const NARROW = matchMedia("(max-width: 900px)");

export interface SheetEvents {
  /** The search field should take the focus. */
  opened(): void;
  closed(): void;
}

/** Wires the buttons and keys; returns a function that closes the sheet. */
export function wireSheet(events: SheetEvents): () => void {
  const app = element("app");
  const button = element("symbol-button");
  const behind = [...app.children].filter((child) => child.id !== "markets");

  const open = (): void => {
    if (NARROW.matches) {
      app.dataset["sheet"] = "open";
      button.setAttribute("aria-expanded", "true");
      for (const part of behind) part.toggleAttribute("inert", true);
    }
    events.opened();
  };
  const close = (): void => {
    events.closed();
    if (app.dataset["sheet"] !== "open") return;
    delete app.dataset["sheet"];
    button.setAttribute("aria-expanded", "false");
    for (const part of behind) part.toggleAttribute("inert", false);
    button.focus();
  };

  button.addEventListener("click", open);
  element("markets-close").addEventListener("click", close);
  NARROW.addEventListener("change", close);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      close();
    } else if (event.key === "/" && !(event.target instanceof HTMLInputElement)) {
      event.preventDefault();
      open();
    }
  });
  return close;
}
