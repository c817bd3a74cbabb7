// A gateway whose other end is the test, and the frames of a screen by hand.

import { act, cleanup, type RenderResult, render } from "@testing-library/react";
import { KlineDataService } from "kline-gateway-client";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, vi } from "vitest";
import { forming, kline, snapshot, tickerSnapshot } from "../../web/test/builders";
import { FakeSocket } from "../../web/test/fake-socket";
import { KlineProvider } from "../src";

export { forming, kline };

const FRAME_MS = 17;

/** What the console was told, which nobody may unless a test says so. */
export let complaints: unknown[][];

export let gateway: Gateway;

export class Gateway {
  readonly requested: string[] = [];
  readonly service: KlineDataService;
  /** By channel. */
  readonly #numbers = new Map<string, number>();

  constructor() {
    const fetch = async (input: URL | RequestInfo): Promise<Response> => {
      this.requested.push((input as URL).searchParams.get("symbol") ?? "");
      return new Response(JSON.stringify({ klines: [kline(1), kline(2), forming(3)], stale: false }));
    };
    this.service = new KlineDataService({ url: "http://gateway/", WebSocket: FakeSocket, fetch });
  }

  /** Greets, and answers every subscription so far, but for symbols that begin with `NO`. */
  async serve(over: object = {}): Promise<void> {
    await act(async () => {
      if (this.service.stream.info.phase === "connecting") FakeSocket.last.hello();
      for (const { op, id, channels } of FakeSocket.last.take()) {
        if (op === "subscribe") this.#answer(id, channels as string[], over);
      }
      await frames();
    });
  }

  /** The channels that were subscribed to and those that were left, in order; each look is at what is new. */
  commands(): string[] {
    return FakeSocket.last
      .take()
      .flatMap(({ op, channels }) => (channels as string[] | undefined)?.map((channel) => `${op} ${channel}`) ?? []);
  }

  /** Updates a channel; what is shown changes in the next frame. */
  say(channel: string, update: unknown): void {
    FakeSocket.last.say({ op: "update", t: Date.now(), u: [[this.#number(channel).n, update]] });
  }

  #answer(id: unknown, channels: readonly string[], over: object): void {
    const error = { code: "INVALID_SYMBOL", message: "Unknown symbol NOSUCH." };
    const known = channels.filter((channel) => !channel.includes(":NO"));
    for (const channel of known) this.#numbers.set(channel, this.#numbers.size + 1);
    const answers = channels.map((channel) => [channel, known.includes(channel) ? this.#number(channel) : { error }]);
    FakeSocket.last.say({ op: "subscribed", id, channels: Object.fromEntries(answers) });
    for (const channel of known) {
      const shown = channel.startsWith("ticker")
        ? tickerSnapshot(over)
        : snapshot({ channel, klines: [kline(1), kline(2)], forming: forming(3), ...over });
      FakeSocket.last.say({ ...shown, ...this.#number(channel) });
    }
  }

  #number(channel: string): { readonly n: number } {
    return { n: this.#numbers.get(channel) ?? 0 };
  }
}

async function frames(count = 1): Promise<void> {
  for (let frame = 0; frame < count; frame += 1) await vi.advanceTimersByTimeAsync(FRAME_MS);
}

/** The next frames come. */
export async function frame(count = 1): Promise<void> {
  await act(() => frames(count));
}

/** Time passes, and the frame after it comes. */
export async function seconds(count: number): Promise<void> {
  await act(() => vi.advanceTimersByTimeAsync(count * 1_000 + FRAME_MS));
}

/** Renders below a provider. */
export function show(children: ReactNode): RenderResult {
  return render(children, { wrapper: Provided });
}

export function Provided({ children }: { readonly children?: ReactNode }): ReactNode {
  return <KlineProvider service={gateway.service}>{children}</KlineProvider>;
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  vi.spyOn(Math, "random").mockReturnValue(0);
  FakeSocket.all = [];
  gateway = new Gateway();
  complaints = [];
  for (const level of ["error", "warn"] as const) {
    vi.spyOn(console, level).mockImplementation((...words) => void complaints.push(words));
  }
});

/** React 18 also tells the window of an error, as if nobody had taken it. */
function complain(event: ErrorEvent): void {
  event.preventDefault();
  complaints.push([event.error]);
}

window.addEventListener("error", complain);

afterEach(() => {
  cleanup();
  gateway.service.close();
  expect(complaints).toEqual([]);
  vi.useRealTimers();
});
