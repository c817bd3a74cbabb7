// The charting library's time scale with the days and hours of a time zone; its own knows UTC only.

import { defaultHorzScaleBehavior, type IHorzScaleBehavior, type Time, type TimeScalePoint } from "lightweight-charts";
import { Zone } from "./zone";

const SECOND_MS = 1_000;

const Base: new () => IHorzScaleBehavior<Time> = defaultHorzScaleBehavior();

export class ZonedScale extends Base {
  /** Takes effect with the candles that are set after it. */
  zone = new Zone("UTC");

  override fillWeightsForPoints(points: readonly TimeScalePoint[], from: number): void {
    const timeOf = (index: number): number => ((points[index] as TimeScalePoint).originalTime as number) * SECOND_MS;
    for (let index = from; index < points.length; index += 1) {
      // Before the first one there would be another, as far away as the second.
      const before = index > 0 ? timeOf(index - 1) : 2 * timeOf(0) - timeOf(Math.min(1, points.length - 1));
      const point = points[index] as { timeWeight: number };
      point.timeWeight = this.zone.markWeight(timeOf(index), before);
    }
  }
}
