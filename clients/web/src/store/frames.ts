// Gathers changes: everything that changed is told once, together, in the next frame of the screen.

export interface Framed {
  /** Takes over what has changed. */
  commit(): void;
  /** Tells the subscribers, after all have taken over, so that nobody sees one half of a frame. Adds what they throw to `errors`. */
  notify(errors: unknown[]): void;
}

/** Calls back once; returns a function that cancels it. */
export type Schedule = (run: () => void) => () => void;

/** A hidden page has no frames, but a title that shows a price. */
export const HIDDEN_MS = 1_000;
/** Where there is no screen. */
export const FRAME_MS = 16;

/** The browser's next frame, or a second later in a page that is hidden. */
export function nextFrame(run: () => void): () => void {
  if (typeof globalThis.requestAnimationFrame !== "function") {
    const timer = setTimeout(run, FRAME_MS);
    return () => clearTimeout(timer);
  }
  const cancel = (): void => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  const once = (): void => {
    cancel();
    run();
  };
  const frame = requestAnimationFrame(once);
  const timer = setTimeout(once, HIDDEN_MS);
  return cancel;
}

export class Frames {
  readonly #schedule: Schedule;
  readonly #due = new Set<Framed>();
  #cancel: (() => void) | null = null;

  constructor(schedule: Schedule = nextFrame) {
    this.#schedule = schedule;
  }

  /** In the next frame, once however often it is requested. */
  request(framed: Framed): void {
    this.#due.add(framed);
    this.#cancel ??= this.#schedule(() => this.#run());
  }

  drop(framed: Framed): void {
    this.#due.delete(framed);
    if (this.#due.size > 0) return;
    this.#cancel?.();
    this.#cancel = null;
  }

  #run(): void {
    this.#cancel = null;
    const due = [...this.#due];
    this.#due.clear();
    for (const framed of due) framed.commit();
    const errors: unknown[] = [];
    for (const framed of due) framed.notify(errors);
    // One subscriber that fails does not keep the others from their frame.
    if (errors.length > 0) throw errors[0];
  }
}
