// The panel with everything one can choose about the chart. Each field's name is that of the preference.

import { choices } from "./choices";
import { element } from "./dom";
import type { Popover } from "./popover";
import type { Preferences } from "./preferences";

/** Where markets are made, from west to east; anybody's own is `local`. */
const ZONES = [
  "America/Los_Angeles",
  "America/Chicago",
  "America/New_York",
  "America/Sao_Paulo",
  "Europe/London",
  "Europe/Berlin",
  "Europe/Istanbul",
  "Asia/Dubai",
  "Asia/Kolkata",
  "Asia/Singapore",
  "Asia/Hong_Kong",
  "Asia/Seoul",
  "Asia/Tokyo",
  "Australia/Sydney",
];

type Field = HTMLInputElement | HTMLSelectElement;

/** Wires the fields to the preferences, both ways. */
export function wireSettings(panel: Popover): void {
  const form = element<HTMLFormElement>("settings-form");
  const zone = form.elements.namedItem("zone") as HTMLSelectElement;
  zone.append(...ZONES.map((name) => new Option(cityOf(name), name)));
  const show = (now: Preferences): void => {
    if ([...zone.options].every(({ value }) => value !== now.zone)) zone.append(new Option(cityOf(now.zone), now.zone));
    for (const field of form.elements) if (isField(field)) fill(field, now);
  };
  form.addEventListener("change", ({ target }) => {
    if (isField(target)) choices.set({ [target.name]: choiceOf(target) });
    // What was out of bounds has been put right.
    show(choices.now);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    panel.close();
  });
  choices.onChange(show);
  show(choices.now);
}

function isField(target: unknown): target is Field {
  return (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) && target.name !== "";
}

function fill(field: Field, now: Preferences): void {
  const value = now[field.name as keyof Preferences];
  if (field instanceof HTMLSelectElement || field.type === "number") field.value = String(value);
  else if (field.type === "radio") field.checked = field.value === String(value);
  else field.checked = value === true;
}

function choiceOf(field: Field): string | number | boolean {
  if (field instanceof HTMLSelectElement) return field.value;
  if (field.type === "number") return field.valueAsNumber;
  if (field.type === "radio") return field.value === "true" ? true : field.value === "false" ? false : field.value;
  return field.checked;
}

function cityOf(zone: string): string {
  return (zone.split("/").at(-1) ?? zone).replaceAll("_", " ");
}
