// Keys that work wherever the focus is, but where somebody types. The search's and the chart's own are theirs.

export interface KeyEvents {
  /** So many markets down. */
  market(step: number): void;
  /** So many intervals to the right. */
  interval(step: number): void;
  connection(): void;
  scheme(): void;
}

export function wireKeys(events: KeyEvents): void {
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type !== "checkbox") return;
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
    }
  });
}
