// A circuit breaker: who failed again and again is left alone for a while, then asked once. Pure.

export const FAILURES = 5;
export const WITHIN_MS = 30_000;
export const OPEN_MS = 10_000;

export class Breaker {
  #failedAt: number[] = [];
  #openedAt: number | null = null;
  #probing = false;

  /** Whether to ask now. Once the time is over, one request at a time goes through to find out. */
  admits(now: number): boolean {
    if (this.#openedAt === null) return true;
    if (this.#probing || now - this.#openedAt < OPEN_MS) return false;
    this.#probing = true;
    return true;
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
