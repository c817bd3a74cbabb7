// What is above the chart while one looks at the past: where the data begins, what is loaded, the ways to a date and to the
// newest candles.

import type { CandleChart } from "./chart";
import { element, setData, setText } from "./dom";
import { formatTime, parseTime } from "./route";
import type { ScrolledCandles } from "./scroll";
import type { Zone } from "./zone";

/** What the label of the begin takes on either side of its line. */
const LABEL_PIXELS = 130;

export class Position {
  readonly #chart: CandleChart;
  readonly #candles: () => ScrolledCandles;
  readonly #zone: () => Zone;
  readonly #mark = element("begin-mark");
  readonly #box = element("position");
  readonly #date = element<HTMLFormElement>("date");
  readonly #time = element<HTMLInputElement>("date-time");

  /** `zone`: whose clocks dates are of. `asked`: called before somebody asks again for what could not be loaded. */
  constructor(chart: CandleChart, candles: () => ScrolledCandles, asked: () => void, zone: () => Zone) {
    this.#chart = chart;
    this.#candles = candles;
    this.#zone = zone;
    element("position-retry").addEventListener("click", () => {
      asked();
      candles().retry();
    });
    element("to-newest").addEventListener("click", () => {
      candles().toNewest();
      // The button goes away.
      element("chart").focus();
    });
    element("date-open").addEventListener("click", () => this.askDate());
    this.#date.addEventListener("submit", (event) => {
      event.preventDefault();
      const time = parseTime(this.#time.value);
      this.#close();
      if (time !== null) candles().goTo(this.#zone().instant(time));
    });
    this.#date.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#close();
    });
  }

  /** Opens the field for a date. */
  askDate(): void {
    const { bars, state } = this.#candles();
    const time = state.at ?? bars.at(-1)?.openTime;
    if (time !== undefined) this.#time.value = formatTime(this.#zone().local(time).getTime()).slice(0, 16);
    this.#date.hidden = false;
    this.#time.focus();
  }

  paint(): void {
    const { state, bars } = this.#candles();
    const range = this.#chart.range;
    const x = state.begins ? this.#chart.xOf(0) : null;
    this.#mark.hidden = x === null || range === null || range.from > 0;
    if (x !== null && !this.#mark.hidden) {
      this.#mark.style.transform = `translateX(${x}px)`;
      setData(this.#mark, "side", x < LABEL_PIXELS ? "right" : "left");
    }
    setData(this.#box, "away", String(state.away));
    element("to-newest").hidden = !state.away;
    element("position-retry").hidden = state.error === "";
    const seen =
      state.loading === "there" ||
      (state.loading === "older" && range !== null && range.from < 0) ||
      (state.loading === "newer" && range !== null && range.to > bars.length);
    setText(element("position-text"), state.error || (seen ? "Loading candles …" : ""));
  }

  #close(): void {
    this.#date.hidden = true;
    element("chart").focus();
  }
}
