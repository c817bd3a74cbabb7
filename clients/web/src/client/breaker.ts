// A circuit breaker: after several failures it admits no request for a while, then a single one. Pure.

export const FAILURES = 5;
export const WITHIN_MS = 30_000;
export const OPEN_MS = 10_000;

export class Breaker {
  #failedAt: number[] = [];
  #openedAt: number | null = null;
  #probing = false;

  /** Whether to send a request now. After the pause it admits one request at a time. */
  admits(now: number): boolean {
    if (this.#openedAt === null) return true;
    if (this.#probing || now - this.#openedAt < OPEN_MS) return false;
    this.#probing = true;
    return true;
  }

  /** Somebody asks in person: requests go out at once, until the first of them fails. */
  permit(): void {
    this.#openedAt = null;
    this.#probing = false;
  }

  get open(): boolean {
    return this.#openedAt !== null;
  }

  succeeded(): void {
    this.#failedAt = [];
    this.#openedAt = null;
    this.#probing = false;
  }

  failed(now: number): void {
    this.#failedAt = [...this.#failedAt.filter((at) => now - at < WITHIN_MS), now];
    if (this.#openedAt === null && this.#failedAt.length < FAILURES) return;
    this.#openedAt = now;
    this.#probing = false;
  }
}
