// A sparkline's shape: closes in, an SVG path out. Pure.

export const WIDTH = 64;
export const HEIGHT = 22;
/** Room for the line's own width. */
const MARGIN = 2;

/** Spans the whole box; "" for fewer than two points. A line without movement runs through the middle. */
export function sparkPath(closes: readonly number[]): string {
  if (closes.length < 2) return "";
  const low = Math.min(...closes);
  const span = Math.max(...closes) - low;
  const step = WIDTH / (closes.length - 1);
  const y = (close: number): number =>
    span === 0 ? HEIGHT / 2 : MARGIN + (1 - (close - low) / span) * (HEIGHT - 2 * MARGIN);
  return closes.map((close, index) => `${index === 0 ? "M" : "L"}${round(index * step)} ${round(y(close))}`).join("");
}

/** What a sparkline is made of: the longest interval up to an hour, a day of it or what there is. */
export function sparkQuery(intervals: readonly string[]): { readonly interval: string; readonly bars: number } | null {
  const interval = ["1h", "30m", "15m", "5m", "3m", "1m"].find((name) => intervals.includes(name));
  return interval === undefined ? null : { interval, bars: interval === "1h" ? 24 : 48 };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
