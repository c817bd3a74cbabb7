// The preferences of this browser: kept for the next visit where it allows that, and told to whoever draws by them.

import { checked, type Preferences } from "./preferences";

const KEY = "kline-gateway.preferences";

export class Choices {
  #now: Preferences;
  readonly #listeners = new Set<(now: Preferences, before: Preferences) => void>();

  constructor() {
    this.#now = stored();
    this.#paint();
  }

  get now(): Preferences {
    return this.#now;
  }

  set(change: Partial<Preferences>): void {
    const before = this.#now;
    this.#now = checked({ ...before, ...change });
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#now));
    } catch {
      // The storage is full or switched off: it is so for this visit.
    }
    this.#paint();
    for (const listener of this.#listeners) listener(this.#now, before);
  }

  onChange(listener: (now: Preferences, before: Preferences) => void): void {
    this.#listeners.add(listener);
  }

  /** The style sheet has the colours. */
  #paint(): void {
    document.documentElement.dataset["colours"] = this.#now.colours;
  }
}

function stored(): Preferences {
  try {
    return checked(JSON.parse(localStorage.getItem(KEY) ?? "{}"));
  } catch {
    return checked({});
  }
}

/** Made with the first code that draws, so that nothing is drawn in other colours before. */
export const choices = new Choices();
