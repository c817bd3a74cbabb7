// The row of intervals: a radio group with arrow keys.

import { make } from "./dom";

export class IntervalBar {
  readonly #box: HTMLElement;
  readonly #choose: (interval: string) => void;
  #names: readonly string[] = [];

  constructor(box: HTMLElement, choose: (interval: string) => void) {
    this.#box = box;
    this.#choose = choose;
    box.addEventListener("keydown", (event) => this.#move(event));
  }

  show(names: readonly string[], chosen: string): void {
    if (names.join() !== this.#names.join()) {
      this.#names = names;
      this.#box.replaceChildren(...names.map((name) => this.#button(name)));
    }
    // An address may name one that is not served: then the first is the way in.
    const reached = names.includes(chosen) ? chosen : names[0];
    for (const button of this.#buttons()) {
      button.setAttribute("aria-checked", String(button.dataset["interval"] === chosen));
      button.tabIndex = button.dataset["interval"] === reached ? 0 : -1;
    }
  }

  /** The interval `step` positions to the right of the chosen one; `null`: there is none. */
  neighbour(step: number): string | null {
    const at = this.#buttons().findIndex((button) => button.getAttribute("aria-checked") === "true");
    return this.#names[at + step] ?? null;
  }

  #button(name: string): HTMLButtonElement {
    const button = make("button", "interval", name);
    button.type = "button";
    button.role = "radio";
    button.dataset["interval"] = name;
    button.addEventListener("click", () => this.#choose(name));
    return button;
  }

  #buttons(): HTMLButtonElement[] {
    return [...this.#box.querySelectorAll("button")];
  }

  #move(event: KeyboardEvent): void {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const buttons = this.#buttons();
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next?.focus();
    next?.click();
  }
}
