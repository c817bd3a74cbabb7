// A running gateway with a simulated market, started as the browser tests start theirs (tests/browser/world.py).

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";
import type { SocketConstructor } from "../../src/client";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));

export class World {
  readonly url: string;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(process: ChildProcess, lines: AsyncIterator<string>, url: string) {
    this.#process = process;
    this.#lines = lines;
    this.url = url;
  }

  static async start(): Promise<World> {
    const python = `${ROOT}.venv/bin/python`;
    if (!existsSync(python))
      throw new Error("the tests against a running gateway need its environment: make .venv/dev.stamp");
    const child = spawn(python, ["-m", "tests.browser.world"], { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const { value, done } = await lines.next();
    if (done === true) throw new Error("the gateway did not start; its words are above");
    return new World(child, lines, value);
  }

  async do(word: "stop" | "start"): Promise<void> {
    this.#process.stdin?.write(`${word}\n`);
    await this.#lines.next();
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.stdin?.end();
    await ended;
  }
}

/** Node 20 has no socket of its own; and a test wants to cut one. */
export class Cuttable extends WebSocket {
  static last: Cuttable | null = null;

  constructor(url: string, protocols: string[]) {
    super(url, protocols);
    Cuttable.last = this;
  }
}

export const LiveSocket = Cuttable as unknown as SocketConstructor;
