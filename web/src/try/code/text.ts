// What the generators of all languages share. Pure.

import type { Choice, Language } from "../choice";
import { target } from "../dialects";

export interface Place {
  /** The gateway's address without a slash at its end: `http://127.0.0.1:8000`. */
  readonly base: string;
  /** It asks for a token. The code reads it from its surroundings: it is never written down. */
  readonly token: boolean;
}

/** The variable of the environment that programs read the token from. */
export const TOKEN = "KLINE_TOKEN";

export interface Addresses {
  /** Of the stream, or of the first request. */
  readonly url: string;
  /** Of every request, where there is no stream. */
  readonly urls: readonly string[];
}

export function addresses(choice: Choice, { base }: Place): Addresses {
  const { kind, path, first } = target(choice);
  const of = (name: string): string => `${base}/${name}`;
  if (kind === "socket") return { url: of(path).replace(/^http/, "ws"), urls: [] };
  return { url: of(path), urls: [path, ...first].map(of) };
}

/** A text as a literal: Python's, JavaScript's and TypeScript's are JSON's. */
export const quoted = (text: string): string => JSON.stringify(text);

/** A text as one word of a shell. */
export const word = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Lines, without those that are `null`. */
export const lines = (...given: readonly (string | null)[]): string =>
  `${given.filter((line) => line !== null).join("\n")}\n`;

export const NAMES: Readonly<Record<Language, string>> = {
  python: "Python, client",
  "python-plain": "Python, websockets",
  typescript: "TypeScript, client",
  "typescript-plain": "TypeScript, WebSocket",
  shell: "curl, websocat",
};

/** What to call the language where the dialect has no WebSocket. */
export function languageName(language: Language, { dialect }: Choice): string {
  if (dialect !== "events" && dialect !== "http") return NAMES[language];
  if (language === "python-plain") return "Python, urllib";
  if (language === "typescript-plain") return dialect === "events" ? "TypeScript, EventSource" : "TypeScript, fetch";
  return language === "shell" ? "curl" : NAMES[language];
}
