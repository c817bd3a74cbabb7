// Keeps in the address what is looked at. Markets and intervals are steps of the browser's history, positions are not.

import { formatHash, type Route } from "./route";

/** After the last movement: browsers refuse an address that changes all the time. */
const REST_MS = 400;

export class Address {
  #at: number | null = null;
  /** What it will have once the chart rests. */
  #next: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** The time that the address has now. */
  get at(): number | null {
    return this.#at;
  }

  /** The page shows this; writes it as the page does. */
  show(route: Route): void {
    if (route.at !== this.#at) {
      clearTimeout(this.#timer);
      this.#at = this.#next = route.at;
    }
    if (location.hash !== formatHash(route)) history.replaceState(null, "", formatHash(route));
  }

  /** Another time of the same market and interval is looked at. `shown`: asked for once that comes to rest. */
  moved(at: number | null, shown: () => Route): void {
    if (at === this.#next) return;
    this.#next = at;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.show(shown()), REST_MS);
  }
}
