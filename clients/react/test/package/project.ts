// A project as a newcomer has it: the packages as `npm pack` makes them, and everything else from the npm registry.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const REACT = fileURLToPath(new URL("../..", import.meta.url));
const CLIENT = fileURLToPath(new URL("../../../web", import.meta.url));
const TOOLS = join(REACT, "node_modules");

export interface PackedFile {
  readonly path: string;
  readonly size: number;
}

export class Project {
  readonly folder = mkdtempSync(join(tmpdir(), "kline-gateway-react-"));
  /** Of the package for React. */
  readonly files: readonly PackedFile[];

  /** Installs both packages and others, by name and version. `npm test` has built them before. */
  constructor(others: Readonly<Record<string, string>>) {
    const [client, react] = [this.#pack(CLIENT), this.#pack(REACT)];
    this.files = react.files;
    const dependencies = {
      "kline-gateway-client": `file:${client.filename}`,
      "kline-gateway-react": `file:${react.filename}`,
      ...others,
    };
    this.write("package.json", JSON.stringify({ private: true, type: "module", dependencies }));
    this.#npm(this.folder, "install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts");
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(join(this.folder, name)), { recursive: true });
    writeFileSync(join(this.folder, name), text);
  }

  read(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }

  /** Runs a file of the project, or a program of our own development dependencies, in the project; throws what it printed. */
  node(program: string, ...words: string[]): string {
    const file = program.startsWith("tools/") ? join(TOOLS, program.slice("tools/".length)) : program;
    try {
      return execFileSync("node", [file, ...words], { cwd: this.folder, encoding: "utf8", stdio: "pipe" });
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      throw new Error(`${program} ${words.join(" ")}\n${stdout}${stderr}`);
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  #pack(cwd: string): { readonly filename: string; readonly files: PackedFile[] } {
    const said = this.#npm(cwd, "pack", "--json", "--ignore-scripts", "--pack-destination", this.folder);
    const [packed] = JSON.parse(said) as [{ filename: string; files: PackedFile[] }];
    return packed;
  }

  #npm(cwd: string, ...words: string[]): string {
    return execFileSync("npm", words, { cwd, encoding: "utf8", stdio: "pipe" });
  }
}
