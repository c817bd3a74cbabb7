// On a narrow screen the list of markets is a sheet over the page: opening, closing, the Back button, and where the focus goes.

import { element } from "./dom";

const NARROW = matchMedia("(max-width: 900px)");

export interface SheetEvents {
  /** The search field should take the focus. */
  opened(): void;
  closed(): void;
}

export interface Sheet {
  close(): void;
  /** Closes it for another market; returns whether its step of the browser's history is left for that market. */
  leave(): boolean;
}

export function wireSheet(events: SheetEvents): Sheet {
  const app = element("app");
  const button = element("symbol-button");
  const behind = [...app.children].filter((child) => child.id !== "markets");

  const open = (): void => {
    if (NARROW.matches && app.dataset["sheet"] !== "open") {
      app.dataset["sheet"] = "open";
      button.setAttribute("aria-expanded", "true");
      for (const part of behind) part.toggleAttribute("inert", true);
      // Back closes it, as people expect of what covers the screen.
      history.pushState(null, "", location.href);
    }
    events.opened();
  };
  const leave = (): boolean => {
    events.closed();
    if (app.dataset["sheet"] !== "open") return false;
    delete app.dataset["sheet"];
    button.setAttribute("aria-expanded", "false");
    for (const part of behind) part.toggleAttribute("inert", false);
    button.focus();
    return true;
  };
  const close = (): void => {
    if (leave()) history.back();
  };

  window.addEventListener("popstate", leave);
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
  return { close, leave };
}
