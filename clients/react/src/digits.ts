// How many digits a price is shown with. Pure.

/** Beyond this a number is noise of a computation, not a price. */
const MAX_DIGITS = 10;

/** Digits after the decimal point of a number's shortest text. */
export function digitsOf(value: number): number {
  const [mantissa = "", exponent = "0"] = String(value).split("e");
  const fraction = mantissa.split(".")[1] ?? "";
  return Math.min(MAX_DIGITS, Math.max(0, fraction.length - Number(exponent)));
}
