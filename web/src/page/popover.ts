// A panel beside the button that opens it: opening, closing, and where the focus goes.

import { element } from "./dom";

export class Popover {
  readonly #panel: HTMLElement;
  readonly #button: HTMLElement;
  readonly #opened: () => void;

  /** `name`: the id of the panel; that of its close button ends with `-close`. */
  constructor(name: string, button: HTMLElement, opened: () => void = () => {}) {
    this.#panel = element(name);
    this.#button = button;
    this.#opened = opened;
    button.addEventListener("click", () => this.toggle());
    element(`${name}-close`).addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    document.addEventListener("pointerdown", (event) => {
      const target = event.target as Node;
      if (this.open && !this.#panel.contains(target) && !this.#button.contains(target)) this.close();
    });
  }

  get open(): boolean {
    return !this.#panel.hidden;
  }

  toggle(): void {
    if (this.open) {
      this.close();
      return;
    }
    this.#panel.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    this.#opened();
    element(`${this.#panel.id}-close`).focus();
  }

  close(): void {
    if (!this.open) return;
    const focused = this.#panel.contains(document.activeElement);
    this.#panel.hidden = true;
    this.#button.setAttribute("aria-expanded", "false");
    if (focused) this.#button.focus();
  }
}
