// JSON in lines, with every digit as it was sent: a number that goes through JavaScript may lose some. Pure.

const TOKEN = /"(?:\\.|[^"\\])*"|[{}[\],:]|[^\s{}[\],:"]+/g;
/** What fits into a line stays in one. */
const LINE = 72;

/** The text itself where it is no JSON. */
export function pretty(text: string): string {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  return new Printer([...text.matchAll(TOKEN)].map(([token]) => token)).value("");
}

class Printer {
  #next = 0;
  readonly #tokens: readonly string[];

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  /** The next value; `indent` stands before the line that it begins in. */
  value(indent: string): string {
    const opened = this.#take();
    if (opened !== "{" && opened !== "[") return opened;
    const closing = opened === "{" ? "}" : "]";
    const parts: string[] = [];
    while (this.#tokens[this.#next] !== closing) {
      let part = this.value(`${indent}  `);
      if (opened === "{") {
        this.#take();
        part += `: ${this.value(`${indent}  `)}`;
      }
      parts.push(part);
      if (this.#tokens[this.#next] === ",") this.#take();
    }
    this.#take();
    const short = `${opened}${parts.join(", ")}${closing}`;
    if (parts.length === 0 || (short.length <= LINE && !short.includes("\n"))) return short;
    return `${opened}\n${parts.map((part) => `${indent}  ${part}`).join(",\n")}\n${indent}${closing}`;
  }

  #take(): string {
    // It has been parsed before: what ought to follow does.
    const token = this.#tokens[this.#next] as string;
    this.#next += 1;
    return token;
  }
}
