// Takes a stream of Server-Sent Events apart, each event with its text as it was sent. Pure.

/** An event without an end cannot fill the memory. */
const MAX_CHARACTERS = 8_000_000;

export class EventStream {
  #rest = "";

  /** The texts of the events that `chunk` completes, without the empty line after each. Raises if one has no end. */
  take(chunk: string): readonly string[] {
    const whole = `${this.#rest}${chunk}`;
    const end = whole.lastIndexOf("\n\n");
    this.#rest = end === -1 ? whole : whole.slice(end + 2);
    if (this.#rest.length > MAX_CHARACTERS) throw new Error(`An event has more than ${MAX_CHARACTERS} characters`);
    return end === -1 ? [] : whole.slice(0, end).split("\n\n");
  }
}

/** What an event says: its `data`; "" for a comment. */
export function dataOf(event: string): string {
  return event
    .split("\n")
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(5).replace(/^ /, ""))
    .join("\n");
}
