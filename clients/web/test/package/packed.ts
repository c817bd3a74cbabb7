// The package as npm would install it, in a project of its own in a temporary folder. `npm test` has built it before.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));
const MODULES = join(PACKAGE, "node_modules");

export interface PackedFile {
  readonly path: string;
  readonly size: number;
}

/** What a program printed, or its error's text if it failed. */
export interface Ran {
  readonly failed: boolean;
  readonly output: string;
}

export class Project {
  readonly folder = mkdtempSync(join(tmpdir(), "kline-gateway-"));
  readonly files: readonly PackedFile[];

  /** Packs and unpacks the package; `others` are packages of the development dependencies. */
  constructor(others: readonly string[]) {
    const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", this.folder];
    const [packed] = JSON.parse(execFileSync("npm", pack, { cwd: PACKAGE, encoding: "utf8" })) as [
      { filename: string; files: PackedFile[] },
    ];
    this.files = packed.files;
    const installed = join(this.folder, "node_modules/kline-gateway-client");
    mkdirSync(installed, { recursive: true });
    execFileSync("tar", ["xzf", join(this.folder, packed.filename), "-C", installed, "--strip-components=1"]);
    for (const name of others) this.#link(name);
    this.write("package.json", '{ "type": "module" }');
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(join(this.folder, name)), { recursive: true });
    writeFileSync(join(this.folder, name), text);
  }

  read(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }

  /** Runs Node in the project. `program`: a file of it, or of a development dependency. */
  node(program: string, ...words: string[]): Ran {
    const file = program.startsWith("node_modules/") ? join(PACKAGE, program) : program;
    try {
      return { failed: false, output: execFileSync("node", [file, ...words], { cwd: this.folder, encoding: "utf8" }) };
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      return { failed: true, output: stdout + stderr };
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  #link(name: string): void {
    const link = join(this.folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(MODULES, name), link);
  }
}

/** The code blocks of a Markdown text in one of the languages. */
export function snippets(markdown: string, ...languages: string[]): readonly { language: string; code: string }[] {
  return [...markdown.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .map(([, language = "", code = ""]) => ({ language, code }))
    .filter(({ language }) => languages.includes(language));
}
