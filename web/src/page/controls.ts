// Everything one chooses with: the settings' panel, the star, the order of the list, and what is done with a chart. Joins them
// to the preferences; who draws by those is told by them.

import { toggleFullscreen, wireActions } from "./actions";
import type { CandleChart } from "./chart";
import { choices } from "./choices";
import { element, setText } from "./dom";
import { Popover } from "./popover";
import { type Preferences, toggled } from "./preferences";
import { formatHash, type Route } from "./route";
import { wireSettings } from "./settings";
import { Zone } from "./zone";

const DAILY = /^\d+[dwM]$/;
const UTC = new Zone("UTC");

export interface ControlSource {
  /** What is looked at. */
  route(): Route;
}

export class Controls {
  readonly #chart: CandleChart;
  readonly #source: ControlSource;
  readonly #panel: Popover;
  #zone = zoneOf(choices.now);

  constructor(chart: CandleChart, source: ControlSource) {
    this.#chart = chart;
    this.#source = source;
    this.#panel = new Popover("settings", element("settings-button"));
    wireSettings(this.#panel);
    wireActions({
      link: () => new URL(formatHash(source.route()), location.href).href,
      picture: () => chart.picture(),
      title: () => {
        const { symbol, interval } = source.route();
        return `${symbol} · ${interval} · ${this.zone.text(Date.now(), "minutes")} ${this.zone.offsetText(Date.now())}`;
      },
      fileName: () => {
        const { symbol, interval } = source.route();
        return `${symbol.replace(/[^\p{L}\p{N}-]/gu, "-")}-${interval}-${new Date().toISOString().slice(0, 16).replace(":", "")}`;
      },
    });
    element("favourite").addEventListener("click", () => this.like(source.route().symbol));
    element("sort-name").addEventListener("click", () => sortBy("name", "usual"));
    element("sort-change").addEventListener("click", () => sortBy("rise", "fall", "usual"));
    choices.onChange((now, before) => {
      if (now.zone !== before.zone) this.#zone = zoneOf(now);
      this.show();
    });
  }

  /** Whose clocks times are shown of. */
  get zone(): Zone {
    return this.#zone;
  }

  /** Makes a market a favourite, or none. */
  like(symbol: string): void {
    if (symbol !== "") choices.set({ favourites: toggled(choices.now.favourites, symbol) });
  }

  toggleSettings(): void {
    this.#panel.toggle();
  }

  toggleFullscreen(): void {
    void toggleFullscreen();
  }

  /** Shows what is chosen; also called when another market or interval is selected. */
  show(): void {
    const { symbol, interval } = this.#source.route();
    const { sort, favourites } = choices.now;
    // Days begin with those of the exchange.
    this.#chart.choose(choices.now, DAILY.test(interval) ? UTC : this.#zone);
    element("favourite").setAttribute("aria-pressed", String(favourites.includes(symbol)));
    const [name, change] = [element("sort-name"), element("sort-change")];
    name.setAttribute("aria-pressed", String(sort === "name"));
    change.setAttribute("aria-pressed", String(sort === "rise" || sort === "fall"));
    setText(name, sort === "name" ? "Market ↓" : "Market");
    setText(change, sort === "rise" ? "24h ↓" : sort === "fall" ? "24h ↑" : "24h");
    const city = (this.#zone.name.split("/").at(-1) ?? "").replaceAll("_", " ");
    const offset = this.#zone.offsetText(Date.now());
    setText(element("foot-zone"), `Times in ${offset}${city === "UTC" || offset === city ? "" : ` (${city})`}`);
  }
}

/** The sort after the present one among these, in a circle; the first one if it is none of them. */
function sortBy(...sorts: readonly [Preferences["sort"], ...Preferences["sort"][]]): void {
  const next = sorts[sorts.indexOf(choices.now.sort) + 1];
  choices.set({ sort: choices.now.sort === sorts.at(-1) ? sorts[0] : (next ?? sorts[0]) });
}

function zoneOf({ zone }: Preferences): Zone {
  return new Zone(zone === "local" ? Intl.DateTimeFormat().resolvedOptions().timeZone : zone);
}
