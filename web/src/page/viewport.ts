// What is seen of a chart's candles. The charting library scrolls with the next frame and reports what was seen before until
// then; this knows what will be seen.

import type { ITimeScaleApi, Time } from "lightweight-charts";
import { RIGHT_BARS } from "./geometry";
import type { VisibleRange } from "./past";

export class Viewport {
  readonly #scale: ITimeScaleApi<Time>;
  readonly #moved: () => void;
  #next: VisibleRange | null = null;
  /** Candles in the chart. */
  count = 0;

  /** `moved`: called when what was asked for is seen. */
  constructor(scale: ITimeScaleApi<Time>, moved: () => void) {
    this.#scale = scale;
    this.#moved = moved;
  }

  /** `null`: there are no candles. */
  get range(): VisibleRange | null {
    return this.#next ?? this.#scale.getVisibleLogicalRange();
  }

  /** Scrolls the place `to` to the right end, at the same zoom. `range`: what was seen before the candles changed. */
  scroll(to: number, range = this.range): void {
    if (range === null) return;
    const position = to - (this.count - 1);
    // Where nothing else is to be done the chart has done it already, also while it is dragged.
    if (this.#next === null && Math.abs(this.#scale.scrollPosition() - position) < 1e-6) return;
    this.#scale.scrollToPosition(position, false);
    this.#expect({ from: to - (range.to - range.from), to });
  }

  /** Scrolls a candle to a share of the width, at the same zoom. */
  scrollTo(place: number, share: number): void {
    const range = this.range;
    if (range !== null) this.scroll(place + (range.to - range.from) * (1 - share), range);
  }

  /** Scrolls to the right by a share of the width, and no further than to the newest candle. */
  turn(share: number): void {
    const range = this.range;
    if (range === null) return;
    const to = range.to + (range.to - range.from) * share;
    this.scroll(share > 0 ? Math.min(this.count - 1 + RIGHT_BARS, to) : to, range);
  }

  toNewest(): void {
    this.scroll(this.count - 1 + RIGHT_BARS);
  }

  /** Changes the zoom; what is at the right end stays there. `factor`: above 1 more candles are seen. */
  zoom(factor: number): void {
    const range = this.range;
    if (range !== null) this.show({ from: range.to - (range.to - range.from) * factor, to: range.to });
  }

  show(range: VisibleRange): void {
    this.#scale.setVisibleLogicalRange(range);
    this.#expect(range);
  }

  #expect(range: VisibleRange): void {
    this.#next = range;
    // The chart has asked for its frame before this.
    requestAnimationFrame(() => {
      if (this.#next === range) this.#next = null;
      this.#moved();
    });
  }
}
