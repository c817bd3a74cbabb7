// What the charting library is told once, and the colours it takes from the style sheet.

import {
  type ChartOptions,
  ColorType,
  CrosshairMode,
  type DeepPartial,
  type Time,
  type TimeChartOptions,
} from "lightweight-charts";
import { PRICES, RIGHT_BARS } from "./geometry";

export interface TimeLabels {
  /** At the cursor; s. */
  cursor(time: number): string;
  /** On the scale; `kind`: the library's `TickMarkType`. */
  mark(time: number, kind: number): string;
}

export type Colour = (name: string) => string;

export function optionsOf(labels: TimeLabels): DeepPartial<TimeChartOptions> {
  return {
    autoSize: true,
    crosshair: { mode: CrosshairMode.Normal },
    localization: { dateFormat: "dd MMM 'yy", timeFormatter: (time: Time) => labels.cursor(Number(time)) },
    handleScale: { axisPressedMouseMove: { time: true, price: true } },
    timeScale: {
      secondsVisible: false,
      timeVisible: true,
      rightOffset: RIGHT_BARS,
      minBarSpacing: 1.5,
      tickMarkFormatter: (time: Time, kind: number) => labels.mark(Number(time), kind),
    },
    rightPriceScale: { scaleMargins: PRICES },
    // The credit is in the page's footer: the chart's own logo adds a style element, which the security policy forbids.
    layout: { attributionLogo: false },
  };
}

/** The style sheet's variables, as they are where the chart stands. */
export function coloursOf(box: HTMLElement): Colour {
  const style = getComputedStyle(box);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

export function paintOf(colour: Colour, fontFamily: string): DeepPartial<ChartOptions> {
  const line = colour("line");
  return {
    layout: {
      background: { type: ColorType.Solid, color: colour("ground") },
      textColor: colour("dim"),
      fontFamily,
      fontSize: 11,
      panes: { separatorColor: line },
    },
    grid: { vertLines: { color: colour("grid") }, horzLines: { color: colour("grid") } },
    crosshair: {
      vertLine: { color: colour("dim"), labelBackgroundColor: colour("label") },
      horzLine: { color: colour("dim"), labelBackgroundColor: colour("label") },
    },
    timeScale: { borderColor: line },
    rightPriceScale: { borderColor: line },
  };
}
