// The form for a token, shown if the gateway asks for one. It sends nothing itself: later requests carry the token.

import { storeToken } from "./access";
import { element } from "./dom";

/** Calls `stored` after a well-formed token was stored. */
export function wireTokenForm(stored: () => void): void {
  const input = element<HTMLInputElement>("token");
  element<HTMLFormElement>("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const wellFormed = storeToken(input.value.trim());
    input.setCustomValidity(wellFormed ? "" : "A token must not contain spaces or quotes.");
    if (!input.reportValidity()) return;
    input.value = "";
    stored();
  });
  input.addEventListener("input", () => input.setCustomValidity(""));
}
