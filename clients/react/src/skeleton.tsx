"use client";
// What is shown in place of a chart that has no candles yet: it takes the same room, so that nothing jumps.

import type { CSSProperties, ReactElement } from "react";

export interface ChartSkeletonProps {
  /** Default: all there is. */
  readonly height?: number | string;
  readonly className?: string;
  readonly style?: CSSProperties;
  readonly label?: string;
}

/** Place and size of each candle's body, and of its wick, in percent. */
const CANDLES = [38, 46, 41, 52, 60, 55, 48, 57, 66, 61, 54, 45, 50, 42, 36, 44, 53, 49, 58, 64].map(
  (close, index, all) => {
    const open = all[index - 1] ?? 42;
    const [low, high] = [Math.min(open, close), Math.max(open, close)];
    return { x: index * 5 + 1, y: 100 - high, height: Math.max(2, high - low), top: 95 - high, bottom: 104 - low };
  },
);

export function ChartSkeleton({
  height = "100%",
  className = "kline-skeleton",
  style,
  label = "Loading the chart",
}: ChartSkeletonProps): ReactElement {
  return (
    <div role="status" aria-label={label} className={className} style={{ height, ...style }}>
      <svg
        width="100%"
        height="100%"
        viewBox="0 0 100 100"
        preserveAspectRatio="none"
        aria-hidden="true"
        focusable="false"
      >
        <g fill="currentColor" opacity="0.15">
          {CANDLES.map(({ x, y, height: body, top, bottom }) => (
            <path key={x} d={`M${x} ${y}h3v${body}h-3zM${x + 1.3} ${top}h0.4v${bottom - top}h-0.4z`} />
          ))}
        </g>
      </svg>
    </div>
  );
}
