// The panel behind the badge: the state of connection and cache, and the connection's history. Paints only while open.

import type { CacheStats, StreamInfo } from "kline-gateway-client";
import { element, make, setText } from "./dom";
import { age, clockText, seconds } from "./format";
import type { Journal } from "./journal";
import type { Shown } from "./selected-market";

export interface ConnectionInput {
  readonly info: StreamInfo;
  readonly stats: CacheStats;
  readonly dataAgeMs: number | null;
  readonly updatesPerSecond: number;
  readonly journal: Journal;
  readonly text: string;
  readonly candles: number;
  readonly shown: Shown | null;
}

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: "UTC" });

export class ConnectionPanel {
  readonly #panel = element("connection");
  readonly #badge = element("badge");
  readonly #read: () => ConnectionInput;
  #shown: unknown = null;

  constructor(read: () => ConnectionInput) {
    this.#read = read;
    this.#badge.addEventListener("click", () => this.toggle());
    element("connection-close").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    document.addEventListener("pointerdown", (event) => {
      const target = event.target as Node;
      if (!this.#panel.hidden && !this.#panel.contains(target) && !this.#badge.contains(target)) this.close();
    });
  }

  toggle(): void {
    if (!this.#panel.hidden) {
      this.close();
      return;
    }
    this.#panel.hidden = false;
    this.#badge.setAttribute("aria-expanded", "true");
    this.paint();
    element("connection-close").focus();
  }

  close(): void {
    if (this.#panel.hidden) return;
    const focused = this.#panel.contains(document.activeElement);
    this.#panel.hidden = true;
    this.#badge.setAttribute("aria-expanded", "false");
    if (focused) this.#badge.focus();
  }

  paint(): void {
    if (this.#panel.hidden) return;
    const { info, stats, dataAgeMs, updatesPerSecond, journal, text, candles, shown } = this.#read();
    setText(element("connection-text"), text);
    showFacts([
      ["Newest data", dataAgeMs === null ? "–" : `${age(dataAgeMs)} ago`],
      ["Updates", `${updatesPerSecond}/s`],
      ["Sent within", info.intervalMs === null ? "–" : seconds(info.intervalMs)],
      ["Reconnects", String(journal.reconnects)],
      ["Your clock", clockText(info.clockOffsetMs)],
      ["Candles", String(candles)],
      ["Shown after", shown === null ? "–" : seconds(shown.ms)],
      ["Loaded", shown === null ? "–" : shown.from === "cache" ? "in advance" : "on demand"],
      ["Charts kept", String(stats.series)],
    ]);
    if (this.#shown === journal.entries) return;
    this.#shown = journal.entries;
    element("journal").replaceChildren(
      ...journal.entries.map(({ at, level, text: what }) => {
        const item = make("li", "entry");
        item.dataset["level"] = level;
        const time = make("time", "", clock.format(at));
        time.dateTime = new Date(at).toISOString();
        item.append(time, make("span", "", what));
        return item;
      }),
    );
  }
}

function showFacts(facts: readonly (readonly [name: string, value: string])[]): void {
  const list = element("connection-facts");
  if (list.childElementCount === 0) {
    for (const [name] of facts) {
      const group = make("div", "");
      group.append(make("dt", "", name), make("dd", ""));
      list.append(group);
    }
  }
  list.querySelectorAll("dd").forEach((cell, index) => {
    setText(cell, facts[index]?.[1] ?? "");
  });
}
