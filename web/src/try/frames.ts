// The frames that are kept: the newest ones, at most so many and so much text. Pure.

/** `note`: said by the browser or this page, not on the wire. */
export type Direction = "in" | "out" | "note";

export interface Frame {
  /** 1, 2, 3, … in the order in which they came. */
  readonly number: number;
  readonly direction: Direction;
  /** ms since the epoch. */
  readonly at: number;
  /** As sent or received, the end of a long one cut off. */
  readonly text: string;
  /** Of the whole text in UTF-8: what was on the wire, without the frame's header. */
  readonly bytes: number;
  /** What it is, in a word. */
  readonly label: string;
  /** Of an error, or of the end of a connection; "" for everything else. */
  readonly code: string;
}

export interface Filter {
  readonly text: string;
  readonly direction: Direction | "all";
}

export class FrameList {
  #frames: Frame[] = [];
  #characters = 0;
  #count = 0;
  readonly #maxFrames: number;
  readonly #maxCharacters: number;

  /** A frame's own text is kept up to a quarter of `maxCharacters`. */
  constructor(maxFrames: number, maxCharacters: number) {
    this.#maxFrames = maxFrames;
    this.#maxCharacters = maxCharacters;
  }

  /** Oldest first. Another array after each change. */
  get frames(): readonly Frame[] {
    return this.#frames;
  }

  /** How many came, those included that are not kept. */
  get count(): number {
    return this.#count;
  }

  add(frame: Omit<Frame, "number">): void {
    this.#count += 1;
    const longest = this.#maxCharacters / 4;
    const text = frame.text.length > longest ? frame.text.slice(0, longest) : frame.text;
    const frames = [...this.#frames, { ...frame, text, number: this.#count }];
    this.#characters += text.length;
    let dropped = 0;
    for (const { text: old } of frames) {
      if (frames.length - dropped <= this.#maxFrames && this.#characters <= this.#maxCharacters) break;
      this.#characters -= old.length;
      dropped += 1;
    }
    this.#frames = dropped === 0 ? frames : frames.slice(dropped);
  }

  clear(): void {
    this.#frames = [];
    this.#characters = 0;
  }
}

/** The frames that match: of that direction, with that text in them whatever its case. */
export function matching(frames: readonly Frame[], { text, direction }: Filter): readonly Frame[] {
  if (text === "" && direction === "all") return frames;
  const wanted = text.toLowerCase();
  return frames.filter(
    (frame) =>
      (direction === "all" || frame.direction === direction) &&
      (wanted === "" || `${frame.label} ${frame.code} ${frame.text}`.toLowerCase().includes(wanted)),
  );
}

/** Frames and bytes a second, as far as they were received since it was read last. */
export class Meter {
  frames = 0;
  bytes = 0;
  #before = { frames: 0, bytes: 0, at: 0 };

  add(bytes: number): void {
    this.frames += 1;
    this.bytes += bytes;
  }

  /** `nowMs`: on any clock that only goes forward. */
  read(nowMs: number): { readonly framesPerS: number; readonly bytesPerS: number } {
    const { frames, bytes, at } = this.#before;
    this.#before = { frames: this.frames, bytes: this.bytes, at: nowMs };
    const seconds = Math.max(0.001, (nowMs - at) / 1000);
    return { framesPerS: (this.frames - frames) / seconds, bytesPerS: (this.bytes - bytes) / seconds };
  }
}

/** `20:31:07.123`, the viewer's time of day. */
export function timeOf(at: number): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** `87 B`, `1.2 kB`, `3.4 MB`. */
export function sizeOf(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} B`;
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
