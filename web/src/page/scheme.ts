// Dark, light, or as the system is: the one thing about looks that is chosen, and kept for the next visit.

export type Scheme = (typeof SCHEMES)[number];

const SCHEMES = ["system", "dark", "light"] as const;
const KEY = "kline-gateway.scheme";
const LIGHT = "(prefers-color-scheme: light)";
const DARK = "(prefers-color-scheme: dark)";

export function scheme(): Scheme {
  try {
    const kept = localStorage.getItem(KEY);
    return SCHEMES.find((name) => name === kept) ?? "system";
  } catch {
    return "system";
  }
}

/** The style sheet's own condition is what changes, so no colour is written down twice. */
export function applyScheme(): void {
  const chosen = scheme();
  document.documentElement.style.colorScheme = chosen === "system" ? "" : chosen;
  const media = (query: string, name: Scheme): string =>
    chosen === "system" ? query : chosen === name ? "all" : "not all";
  for (const rule of lightRules) rule.media.mediaText = media(LIGHT, "light");
  for (const [meta, query, name] of themes) meta.media = media(query, name);
}

/** The one after this one, in a circle. */
export function nextScheme(): Scheme {
  const next = SCHEMES[(SCHEMES.indexOf(scheme()) + 1) % SCHEMES.length] ?? "system";
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // It stays as it is.
  }
  applyScheme();
  return next;
}

const lightRules = [...document.styleSheets]
  .flatMap((sheet) => [...sheet.cssRules])
  .filter((rule): rule is CSSMediaRule => rule instanceof CSSMediaRule && rule.conditionText === LIGHT);
const themes = [...document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')].map(
  (meta) => [meta, meta.media, meta.media === DARK ? "dark" : "light"] as const,
);
