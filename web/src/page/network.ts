// Whether the line has room for markets that are only likely to be looked at. Pure.

/** The part of `navigator.connection` that counts; browsers that have none tell nothing. */
export interface NetworkHints {
  readonly saveData?: boolean;
  readonly effectiveType?: string;
  /** Mbit/s. */
  readonly downlink?: number;
}

const SLOW: readonly string[] = ["slow-2g", "2g", "3g"];
/** The candles of a few markets would delay what is wanted by seconds. */
const LEAST_MBIT_S = 1;

export function mayPrefetch(hints: NetworkHints | undefined): boolean {
  if (hints?.saveData === true || SLOW.includes(hints?.effectiveType ?? "")) return false;
  return (hints?.downlink ?? LEAST_MBIT_S) >= LEAST_MBIT_S;
}
