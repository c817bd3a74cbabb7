// A value with an origin that is opened for the first subscriber and closed after the last one.

import type { Framed, Frames } from "./frames.ts";
import type { Readable } from "./readable.ts";

/** Where a value comes from while somebody subscribes. */
export interface Origin<T> {
  /** The newest value; the same object if nothing has changed. */
  read(): T;
  close(): void;
}

export interface CellOptions<T> {
  /** Opens the origin, which then calls `changed` at each change, or at once. */
  readonly open: (changed: () => void) => Origin<T>;
  /** The value while nobody subscribes: the same object until it changes. */
  readonly idle: () => T;
  readonly initial: () => T;
}

interface Opened<T> {
  readonly origin: Origin<T>;
  /** As of the last frame. */
  value: T;
}

export class Cell<T> implements Readable<T>, Framed {
  readonly #options: CellOptions<T>;
  readonly #frames: Frames;
  readonly #listeners = new Set<{ readonly changed: () => void }>();
  /** `null`: nobody subscribes. */
  #open: Opened<T> | null = null;
  #changed = false;

  constructor(frames: Frames, options: CellOptions<T>) {
    this.#frames = frames;
    this.#options = options;
  }

  readonly get = (): T => (this.#open === null ? this.#options.idle() : this.#open.value);

  readonly initial = (): T => this.#options.initial();

  /** Throws what the opening of the origin throws; then nobody subscribes. */
  readonly subscribe = (changed: () => void): (() => void) => {
    this.#open ??= this.#opened();
    const listener = { changed };
    this.#listeners.add(listener);
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#close();
    };
  };

  commit(): void {
    // What is closed is dropped from its frame.
    const open = this.#open as Opened<T>;
    const value = open.origin.read();
    this.#changed = !Object.is(value, open.value);
    open.value = value;
  }

  notify(errors: unknown[]): void {
    if (!this.#changed) return;
    this.#changed = false;
    for (const listener of [...this.#listeners]) {
      // Another one may have ended its subscription.
      if (!this.#listeners.has(listener)) continue;
      try {
        listener.changed();
      } catch (error) {
        errors.push(error);
      }
    }
  }

  /** What the origin has already is the value at once: who subscribes reads it again. */
  #opened(): Opened<T> {
    const origin = this.#options.open(() => {
      if (this.#open !== null) this.#frames.request(this);
    });
    return { origin, value: origin.read() };
  }

  #close(): void {
    this.#open?.origin.close();
    this.#open = null;
    this.#changed = false;
    this.#frames.drop(this);
  }
}
