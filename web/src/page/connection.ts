// The panel behind the badge: the state of connection and cache, and the connection's history. Paints only while open.

import type { CacheStats, StreamInfo } from "kline-gateway-client";
import { element, make, setText } from "./dom";
import { age, clockText, seconds } from "./format";
import type { Journal } from "./journal";
import { Popover } from "./popover";
import type { Shown } from "./selected-market";
import { MARK, type Zone } from "./zone";

export interface ConnectionInput {
  readonly info: StreamInfo;
  readonly stats: CacheStats;
  readonly dataAgeMs: number | null;
  readonly updatesPerSecond: number;
  readonly journal: Journal;
  readonly text: string;
  readonly candles: number;
  readonly shown: Shown | null;
  /** Whose clocks the history has. */
  readonly zone: Zone;
}

export class ConnectionPanel {
  readonly #popover = new Popover("connection", element("badge"), () => this.paint());
  readonly #read: () => ConnectionInput;
  #shown = "";

  constructor(read: () => ConnectionInput) {
    this.#read = read;
  }

  toggle(): void {
    this.#popover.toggle();
  }

  paint(): void {
    if (!this.#popover.open) return;
    const { info, stats, dataAgeMs, updatesPerSecond, journal, text, candles, shown, zone } = this.#read();
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
    const key = `${zone.name} ${journal.entries[0]?.at} ${journal.entries.length}`;
    if (this.#shown === key) return;
    this.#shown = key;
    element("journal").replaceChildren(
      ...journal.entries.map(({ at, level, text: what }) => {
        const item = make("li", "entry");
        item.dataset["level"] = level;
        const time = make("time", "", zone.markText(at, MARK.seconds));
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
