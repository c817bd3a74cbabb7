// Times as the clocks of a time zone show them. Pure.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** The charting library's kinds of marks on the time scale (its `TickMarkType`). */
export const MARK = { year: 0, month: 1, day: 2, time: 3, seconds: 4 } as const;

/** The library's weights of marks: of two that would overlap the heavier one is drawn. By how often they come, ms. */
const WEIGHTS = [
  [12 * HOUR_MS, 33],
  [6 * HOUR_MS, 32],
  [3 * HOUR_MS, 31],
  [HOUR_MS, 30],
  [30 * MINUTE_MS, 22],
  [5 * MINUTE_MS, 21],
  [MINUTE_MS, 20],
  [1_000, 10],
] as const;

export class Zone {
  readonly name: string;
  readonly #clock: Intl.DateTimeFormat;
  /** The offset of whole UTC days; `null`: it changes within. A chart asks for thousands of times, and `Intl` is slow. */
  readonly #days = new Map<number, number | null>();

  /** `name`: an IANA name or `UTC`. Throws `RangeError` for another one. */
  constructor(name: string) {
    this.name = name;
    this.#clock = new Intl.DateTimeFormat("en-GB", {
      timeZone: name,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  }

  /** What its clocks are ahead of UTC at a time (ms), in ms. */
  offsetMs(time: number): number {
    const day = Math.floor(time / DAY_MS);
    let offset = this.#days.get(day);
    if (offset === undefined) {
      const [first, last] = [this.#measured(day * DAY_MS), this.#measured((day + 1) * DAY_MS - 1_000)];
      offset = first === last ? first : null;
      this.#days.set(day, offset);
    }
    return offset ?? this.#measured(time);
  }

  /** A `Date` whose UTC fields are those of the zone's clocks. */
  local(time: number): Date {
    return new Date(time + this.offsetMs(time));
  }

  /** The time (ms) at which its clocks show what they would show of UTC at `local`. */
  instant(local: number): number {
    // The offset of a time nearby, then that of the time found.
    return local - this.offsetMs(local - this.offsetMs(local));
  }

  /** `UTC+1`, `UTC-3:30`, at a time (ms). */
  offsetText(time: number): string {
    const minutes = Math.round(this.offsetMs(time) / MINUTE_MS);
    if (minutes === 0) return "UTC";
    const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
    return `UTC${minutes < 0 ? "-" : "+"}${hours}${rest === 0 ? "" : `:${two(rest)}`}`;
  }

  /** The label of a mark of the time scale. */
  markText(time: number, kind: number): string {
    const date = this.local(time);
    if (kind === MARK.year) return String(date.getUTCFullYear());
    if (kind === MARK.month) return MONTHS[date.getUTCMonth()] as string;
    if (kind === MARK.day) return String(date.getUTCDate());
    return clockText(date, kind === MARK.seconds);
  }

  /** The weight of a mark at `time` that follows one at `before`, ms. */
  markWeight(time: number, before: number): number {
    const [date, last] = [this.local(time), this.local(before)];
    if (date.getUTCFullYear() !== last.getUTCFullYear()) return 70;
    if (date.getUTCMonth() !== last.getUTCMonth()) return 60;
    if (date.getUTCDate() !== last.getUTCDate()) return 50;
    const count = (of: Date, ms: number): number => Math.floor(of.getTime() / ms);
    return WEIGHTS.find(([ms]) => count(date, ms) !== count(last, ms))?.[1] ?? 0;
  }

  /** `30 Nov 2026`, with `21:05` or `21:05:07` after it. */
  text(time: number, parts: "date" | "minutes" | "seconds"): string {
    const date = this.local(time);
    const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
    return parts === "date" ? day : `${day} ${clockText(date, parts === "seconds")}`;
  }

  #measured(time: number): number {
    const part = Object.fromEntries(this.#clock.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = part;
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(time / 1_000) * 1_000;
  }
}

function clockText(date: Date, seconds: boolean): string {
  const minutes = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  return seconds ? `${minutes}:${two(date.getUTCSeconds())}` : minutes;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
