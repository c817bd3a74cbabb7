// The same thing as what is tried, as a program. Pure.

import type { Choice, Language } from "../choice";
import { pythonClient, pythonPlain } from "./python";
import { shell } from "./shell";
import type { Place } from "./text";
import { typescriptClient, typescriptPlain } from "./typescript";

const GENERATORS: Readonly<Record<Language, (choice: Choice, place: Place) => string>> = {
  python: pythonClient,
  "python-plain": pythonPlain,
  typescript: typescriptClient,
  "typescript-plain": typescriptPlain,
  shell,
};

/** In the choice's language. */
export function code(choice: Choice, place: Place): string {
  return GENERATORS[choice.language](choice, place);
}
