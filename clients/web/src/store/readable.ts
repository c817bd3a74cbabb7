// What a component reads: a value that changes, and its subscribers.

/** A value that changes. The framework of a page needs no more: see the bindings for React, Vue and Svelte. */
export interface Readable<T> {
  /** The value as of the last frame: the same object until it changes. */
  readonly get: () => T;
  /** Calls `changed` after a change, once a frame at most; returns a function that stops it. */
  readonly subscribe: (changed: () => void) => () => void;
  /** The value that a server renders, and a page while it takes over what a server rendered. */
  readonly initial: () => T;
}
