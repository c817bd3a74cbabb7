// Paints what also changes with time: ages, the badge, what is said of an outage, whether there is a chart or an error.

import { type Freshness, freshness, type KlineDataService, type Level } from "kline-gateway-client";
import type { CandleChart } from "./chart";
import { element } from "./dom";
import { badgeText, showBadge, showCountdown, showNotice, showOrigin, showOutage, showThrottle } from "./header";
import { type Journal, throttleText } from "./journal";
import { type Outage, outageOf } from "./outage";
import type { Polling } from "./polling";
import type { SelectedMarket } from "./selected-market";
import { type View, type ViewInput, viewOf } from "./view";

/** Time for a cached chart to continue before the badge changes. */
const JOINING_MS = 1_000;

export class StatePainter {
  readonly #app = element("app");
  readonly #service: KlineDataService;
  readonly #chart: CandleChart;
  readonly #journal: Journal;
  readonly #polling: Polling;
  #view: View = { kind: "loading" };
  #level: Level = "yellow";
  #old: Outage["old"] = "none";

  constructor(service: KlineDataService, chart: CandleChart, journal: Journal, polling: Polling) {
    this.#service = service;
    this.#chart = chart;
    this.#journal = journal;
    this.#polling = polling;
  }

  get view(): View {
    return this.#view;
  }

  get level(): Level {
    return this.#level;
  }

  /** Whether the price that is shown is not the present one. */
  get old(): boolean {
    return this.#old !== "none";
  }

  /** `markets`: whether their list is there. */
  paint(selected: SelectedMarket, markets: ViewInput["markets"], now: number): void {
    const { phase, lastMessageAt, clockOffsetMs } = this.#service.stream.info;
    const { route, status, newest } = selected;
    const ageMs = selected.lastMessageAt === null ? null : now - selected.lastMessageAt;
    const fresh = freshness({
      connection: phase,
      channel: status.state,
      dataAgeMs: ageMs,
      silenceMs: lastMessageAt === 0 ? 0 : now - lastMessageAt,
    });
    this.#level = fresh.level;
    this.#view = viewOf({
      ...route,
      markets,
      bars: selected.bars,
      // The candles that are looked at come over HTTP.
      status: selected.candles.state.loading === "there" ? "waiting" : status.state,
      reason: status.reason ?? null,
      error: status.error ?? null,
      connection: phase,
      waitedMs: now - selected.since,
    });
    this.#app.dataset["view"] = this.#view.kind;
    this.#app.dataset["level"] = this.#level;
    const joining = phase === "open" && status.state === "waiting" && now - selected.since < JOINING_MS;
    if (!joining || ageMs === null) {
      showBadge(this.#level, badgeText(fresh.why, status.reason), ageMs);
      this.#say(selected, fresh.why, now);
    }
    this.#journal.channel(status, now);
    showThrottle(throttleText(this.#service.stream.info));
    showOrigin(selected.derived, selected.gaps);
    showCountdown(newest === null ? null : newest.closeTime + 1 - (now + clockOffsetMs));
    showNotice(this.#view);
  }

  #say({ status }: SelectedMarket, why: Freshness["why"], now: number): void {
    const { retryAt } = this.#service.stream.info;
    const said = outageOf({
      why,
      reason: status.reason ?? null,
      retryInMs: retryAt === null ? null : retryAt - now,
      polled: this.#polling.works,
    });
    showOutage(said);
    this.#old = said.old;
    this.#chart.setOld(this.old);
  }
}
