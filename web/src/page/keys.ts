// Keys that work wherever the focus is, except in text fields. The search and the chart have keys of their own.

export interface KeyEvents {
  /** Selects the market `step` rows down. */
  market(step: number): void;
  /** Selects the interval `step` positions to the right. */
  interval(step: number): void;
  connection(): void;
  scheme(): void;
  date(): void;
  settings(): void;
  fullscreen(): void;
}

export function wireKeys(events: KeyEvents): void {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (target instanceof HTMLSelectElement) return;
    if (target instanceof HTMLInputElement && target.type !== "checkbox" && target.type !== "radio") return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    switch (event.key) {
      case "j":
        events.market(1);
        break;
      case "k":
        events.market(-1);
        break;
      case "[":
        events.interval(-1);
        break;
      case "]":
        events.interval(1);
        break;
      case "c":
        events.connection();
        break;
      case "t":
        events.scheme();
        break;
      case "s":
        events.settings();
        break;
      case "f":
        events.fullscreen();
        break;
      case "g":
        // Not into the field that opens.
        event.preventDefault();
        events.date();
        break;
    }
  });
}
