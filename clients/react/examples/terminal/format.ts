// Numbers as text. Pure.

/** Two digits after the point, and so many more for a small price that there are five significant ones. */
export function price(value: number | undefined): string {
  if (value === undefined) return "…";
  const digits = Math.min(10, Math.max(2, 4 - Math.floor(Math.log10(value))));
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function percent(value: number | undefined): string {
  return value === undefined ? "" : `${value >= 0 ? "+" : ""}${value.toFixed(2)} %`;
}
