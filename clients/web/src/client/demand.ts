// Who needs the connection: it is opened for the first user and released some time after the last one has left.

/** A page that goes from one market to the next keeps its connection. */
export const LINGER_MS = 10_000;

export class Demand {
  readonly #open: () => void;
  readonly #release: () => void;
  #users = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  /** `open` is called for each user, `release` once nobody has needed the connection for `LINGER_MS`. */
  constructor(open: () => void, release: () => void) {
    this.#open = open;
    this.#release = release;
  }

  get needed(): boolean {
    return this.#users > 0;
  }

  /** One user more. Throws what `open` throws; then there is none. */
  add(): void {
    this.#open();
    clearTimeout(this.#timer);
    this.#users += 1;
  }

  /** One user less. */
  remove(): void {
    this.#users -= 1;
    if (this.#users === 0 && !this.#ended) this.#timer = setTimeout(this.#release, LINGER_MS);
  }

  /** There is nothing to release any more. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }
}
