// Whether somebody moves the chart: with mouse, wheel, fingers or keys. While it is held, and until a flick has come to rest,
// the charting library counts from the right end of what it had at the beginning.

const REST_MS = 150;

export class Hold {
  readonly #released: () => void;
  #held = false;
  #touched = false;
  #resting: ReturnType<typeof setTimeout> | undefined;

  /** `released`: called when it may be changed again. */
  constructor(box: HTMLElement, released: () => void) {
    this.#released = released;
    // Before the library's own listeners, which are those of elements inside.
    const options = { capture: true, passive: true };
    for (const name of ["mousedown", "touchstart"]) box.addEventListener(name, () => this.#hold(), options);
    box.addEventListener("wheel", () => this.touch(), options);
    for (const name of ["mousemove", "touchmove"]) {
      window.addEventListener(
        name,
        () => {
          if (this.#held) this.#touched = true;
        },
        options,
      );
    }
    window.addEventListener("mouseup", () => this.#release(), options);
    // Of the window alone: that of an element does not bubble.
    window.addEventListener("blur", () => this.#release());
    for (const name of ["touchend", "touchcancel"] as const) {
      window.addEventListener(
        name,
        ({ touches }) => {
          if (touches.length === 0) this.#rest();
        },
        options,
      );
    }
  }

  get held(): boolean {
    return this.#held;
  }

  /** Whether it has been moved since `forget`. */
  get touched(): boolean {
    return this.#touched;
  }

  forget(): void {
    this.#touched = false;
  }

  /** It is moved with a key or the wheel. */
  touch(): void {
    this.#touched = true;
  }

  /** Something else is seen: if that is by itself, it is not at rest. */
  moved(): void {
    if (this.#resting !== undefined) this.#rest();
  }

  #hold(): void {
    clearTimeout(this.#resting);
    this.#resting = undefined;
    this.#held = true;
  }

  #rest(): void {
    if (!this.#held) return;
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#release(), REST_MS);
  }

  #release(): void {
    clearTimeout(this.#resting);
    this.#resting = undefined;
    if (!this.#held) return;
    this.#held = false;
    this.#released();
  }
}
