// The list of frames on the screen: one row a frame, one choice, and at most one change of the document a frame of the screen.

import { make, oncePerFrame, setText } from "../page/dom";
import { type Filter, type Frame, type FrameList, matching, sizeOf, timeOf } from "./frames";

/** What a row shows of the text. */
const PREVIEW = 160;
const ARROWS = { in: "↓", out: "↑", note: "·" } as const;
const SAID = { in: "received", out: "sent", note: "note" } as const;

export class FrameView {
  #filter: Filter = { text: "", direction: "all" };
  /** What is shown while it is paused. */
  #held: readonly Frame[] | null = null;
  #shown: readonly Frame[] = [];
  #selected: Frame | null = null;
  readonly #rows = new Map<number, HTMLElement>();
  readonly #paint = oncePerFrame(() => this.#draw());

  readonly #list: HTMLElement;
  readonly #kept: HTMLElement;
  readonly #frames: FrameList;
  readonly #selectedChanged: (frame: Frame | null) => void;

  constructor(list: HTMLElement, kept: HTMLElement, frames: FrameList, selected: (frame: Frame | null) => void) {
    this.#list = list;
    this.#kept = kept;
    this.#frames = frames;
    this.#selectedChanged = selected;
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("click", (event) => {
      const row = (event.target as Element).closest<HTMLElement>("[role=option]");
      if (row !== null) this.#select(this.#shown.find(({ number }) => row.id === idOf(number)) ?? null);
    });
  }

  get paused(): boolean {
    return this.#held !== null;
  }

  pause(on: boolean): void {
    this.#held = on ? this.#frames.frames : null;
    this.changed();
  }

  filter(filter: Filter): void {
    this.#filter = filter;
    this.changed();
  }

  clear(): void {
    this.#frames.clear();
    if (this.#held !== null) this.#held = [];
    this.#select(null);
    this.changed();
  }

  /** There are other frames: draws them with the next frame of the screen. */
  changed(): void {
    this.#paint();
  }

  #draw(): void {
    const { frames, count } = this.#frames;
    const list = this.#list;
    const shown = matching(this.#held ?? frames, this.#filter);
    const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 4;
    const wanted = new Set(shown.map(({ number }) => number));
    for (const [number, row] of this.#rows) {
      if (wanted.has(number)) continue;
      row.remove();
      this.#rows.delete(number);
    }
    // Both are in the order of the numbers: what is missing goes before the next row that is there.
    let next = list.firstElementChild;
    for (const frame of shown) {
      const row = this.#rows.get(frame.number);
      if (row === undefined) list.insertBefore(this.#row(frame), next);
      else next = row.nextElementSibling;
    }
    this.#shown = shown;
    if (atEnd && !this.paused) list.scrollTop = list.scrollHeight;
    const held =
      this.#held === null
        ? ""
        : `, paused: ${frames.filter(({ number }) => number > (this.#held?.at(-1)?.number ?? 0)).length} newer`;
    setText(this.#kept, count === 0 ? "Nothing sent or received yet." : `${shown.length} shown of ${count}${held}`);
  }

  #row(frame: Frame): HTMLElement {
    const row = make("div", "row");
    row.id = idOf(frame.number);
    row.role = "option";
    row.ariaSelected = String(this.#selected?.number === frame.number);
    row.dataset["direction"] = frame.direction;
    if (isError(frame)) row.dataset["error"] = "";
    const arrow = make("span", "arrow", ARROWS[frame.direction]);
    arrow.ariaHidden = "true";
    row.append(
      arrow,
      make("span", "hidden", SAID[frame.direction]),
      make("span", "time", timeOf(frame.at)),
      make("span", "size", frame.direction === "note" ? "" : sizeOf(frame.bytes)),
      make("span", "label", frame.label),
      ...(frame.code === "" ? [] : [make("span", "code-of", frame.code)]),
      make("span", "text", frame.text.slice(0, PREVIEW)),
    );
    this.#rows.set(frame.number, row);
    return row;
  }

  #select(frame: Frame | null): void {
    const mark = (number: number | undefined, selected: boolean): void => {
      const row = number === undefined ? undefined : this.#rows.get(number);
      if (row !== undefined) row.ariaSelected = String(selected);
    };
    mark(this.#selected?.number, false);
    this.#selected = frame;
    mark(frame?.number, true);
    if (frame === null) this.#list.removeAttribute("aria-activedescendant");
    else this.#list.setAttribute("aria-activedescendant", idOf(frame.number));
    this.#selectedChanged(frame);
  }

  #key(event: KeyboardEvent): void {
    const last = this.#shown.length - 1;
    const at = this.#shown.findIndex(({ number }) => number === this.#selected?.number);
    const goals: Readonly<Record<string, number>> = {
      ArrowUp: at === -1 ? last : Math.max(0, at - 1),
      ArrowDown: at === -1 ? last : Math.min(last, at + 1),
      Home: 0,
      End: last,
    };
    const frame = this.#shown[goals[event.key] ?? -1];
    if (frame === undefined) return;
    event.preventDefault();
    this.#select(frame);
    this.#rows.get(frame.number)?.scrollIntoView({ block: "nearest" });
  }
}

const idOf = (number: number): string => `frame-${number}`;
const isError = ({ direction, code }: Frame): boolean =>
  code !== "" && !(direction === "note" && /^100[015]$/.test(code));
