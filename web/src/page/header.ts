// Paints what is above and around the chart: price, 24 h figures, legend, badge, countdown, footer.

import type { FreshnessReason, Level, StreamInfo, Ticker } from "kline-gateway-client";
import type { ShownBar } from "./bars";
import { element, make, setData, setText } from "./dom";
import { age, compact, countdown, percent, price, sign } from "./format";
import { type Gap, gapsText } from "./gaps";
import type { Outage } from "./outage";
import type { Scheme } from "./scheme";
import type { StudyValue } from "./studies";
import type { View } from "./view";

const BADGE: Record<FreshnessReason, string> = {
  live: "Live",
  late: "Delayed",
  stale: "Stale",
  loading: "Connecting",
  reconnecting: "Reconnecting",
  offline: "Offline",
  refused: "Refused",
  failed: "No data",
};

const STALE: Record<string, string> = {
  redis: "Source offline",
  repair: "Catching up",
  silent: "Source silent",
  malformed: "Source unreadable",
  prices: "No prices",
  klines: "Candles overdue",
  symbol: "Symbol halted?",
};

export function showPrice(value: number | null, before: number | null, digits: number, loading: boolean): void {
  const box = element("price");
  if (value === null) {
    box.replaceChildren(loading ? make("span", "ghost", "00000.00") : "–");
    box.dataset["move"] = "none";
    return;
  }
  setText(box, price(value, digits));
  if (before !== null && value !== before) box.dataset["move"] = value > before ? "up" : "down";
}

export function showTicker(ticker: Ticker | null, digits: number): void {
  const change = element("change");
  const moved = ticker?.P;
  setText(change, moved === undefined ? "" : percent(moved));
  change.dataset["sign"] = sign(moved ?? 0);
  const figure = (value: number | undefined): string => (value === undefined ? "–" : price(value, digits));
  setText(element("high"), figure(ticker?.h));
  setText(element("low"), figure(ticker?.l));
  setText(element("volume"), ticker?.v === undefined ? "–" : compact(ticker.v));
}

export function showLegend(bar: ShownBar | null, digits: number): void {
  const legend = element("legend");
  legend.hidden = bar === null;
  if (bar === null) return;
  const change = bar.open === 0 ? 0 : ((bar.close - bar.open) / bar.open) * 100;
  legend.dataset["sign"] = sign(bar.close - bar.open);
  const rows: readonly (readonly [name: string, short: string, value: string])[] = [
    ["Open", "O", price(bar.open, digits)],
    ["High", "H", price(bar.high, digits)],
    ["Low", "L", price(bar.low, digits)],
    ["Close", "C", price(bar.close, digits)],
    ["Volume", "V", compact(bar.volume)],
    ["Change", "", percent(change)],
  ];
  if (legend.childElementCount === 0) {
    for (const [name, short] of rows) {
      const term = make("dt", "", short);
      term.ariaLabel = name;
      const group = make("div", "");
      group.append(term, make("dd", ""));
      legend.append(group);
    }
  }
  legend.querySelectorAll("dd").forEach((cell, index) => {
    setText(cell, rows[index]?.[2] ?? "");
  });
}

/** The indicators' values beside their names, each in the colour of its line. */
export function showStudies(studies: readonly StudyValue[], digits: number): void {
  const legend = element("studies");
  legend.hidden = studies.length === 0;
  const names = studies.map(({ name }) => name).join();
  if (legend.dataset["names"] !== names) {
    legend.dataset["names"] = names;
    legend.replaceChildren(
      ...studies.map(({ name, colour }) => {
        const group = make("div", "");
        group.dataset["study"] = colour;
        group.append(make("dt", "", name), make("dd", ""));
        return group;
      }),
    );
  }
  legend.querySelectorAll("dd").forEach((cell, index) => {
    const { value, isPrice } = studies[index] as StudyValue;
    setText(cell, value === null ? "–" : isPrice ? price(value, digits) : value.toFixed(1));
  });
}

export function badgeText(why: FreshnessReason, reason: string | undefined): string {
  return why === "stale" ? (STALE[reason ?? ""] ?? BADGE.stale) : BADGE[why];
}

export function showBadge(level: Level, text: string, dataAgeMs: number | null): void {
  element("badge").dataset["level"] = level;
  setText(element("badge-text"), text);
  // A live region of its own for screen readers: the age inside the button changes all the time.
  setText(element("badge-said"), text);
  setText(element("badge-age"), dataAgeMs === null ? "" : age(dataAgeMs));
}

/** Whether the candles are aggregated, and where some are missing. */
export function showOrigin(derived: boolean, gaps: readonly Gap[]): void {
  element("derived").hidden = !derived;
  const chip = element("gaps");
  chip.hidden = gaps.length === 0;
  if (gaps.length === 0) return;
  setText(chip, gaps.length === 1 ? "1 gap" : `${gaps.length} gaps`);
  const text = gapsText(gaps);
  if (chip.title === text) return;
  chip.title = text;
  chip.ariaLabel = `${chip.textContent}. ${text}`;
}

export function showScheme(scheme: Scheme): void {
  const button = element("scheme");
  button.dataset["scheme"] = scheme;
  button.ariaLabel = button.title = `Colours: ${scheme === "system" ? "system" : scheme}`;
}

export function showThrottle(text: string | null): void {
  const chip = element("throttle");
  chip.hidden = text === null;
  setText(chip, text ?? "");
}

export function showCountdown(leftMs: number | null): void {
  setText(element("countdown"), leftMs === null ? "" : countdown(leftMs));
}

export function showNotice(view: View): void {
  const notice = element("notice");
  notice.hidden = view.kind === "loading" || view.kind === "chart";
  if (view.kind === "loading" || view.kind === "chart") return;
  setText(element("notice-title"), view.title);
  setText(element("notice-text"), view.text);
  element("notice-button").hidden = view.kind !== "error";
  element("token-form").hidden = view.kind !== "locked";
}

export function showFooter(info: StreamInfo, updatesPerSecond: number, bars: number): void {
  setText(element("foot-rate"), `${updatesPerSecond} update${updatesPerSecond === 1 ? "" : "s"}/s`);
  setText(element("foot-bars"), `${bars} candles`);
  setText(element("foot-server"), info.hello?.server ?? "");
}

/** Says above the chart why its prices are not live, and greys what is old. */
export function showOutage({ text, retry, old }: Outage): void {
  setData(element("app"), "old", old);
  element("outage").hidden = text === "";
  setText(element("outage-text"), text);
  element("outage-retry").hidden = !retry;
}
