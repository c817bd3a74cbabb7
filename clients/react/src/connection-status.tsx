"use client";
// Tells how fresh the data of the page is: a light with words, its age, a button to try again, and what it was before.

import type { Level } from "kline-gateway-client";
import type { ConnectionReason } from "kline-gateway-client/store";
import type { ReactElement } from "react";
import { type Connection, useConnection, useDataAge } from "./use-connection.ts";

export interface ConnectionStatusProps {
  readonly className?: string;
  /** Other words, in another language. */
  readonly words?: Partial<Words>;
}

export interface Words extends Record<ConnectionReason, string> {
  readonly retry: string;
  readonly history: string;
  readonly age: (seconds: number) => string;
  readonly time: (at: number) => string;
}

const WORDS: Words = {
  idle: "Not connected",
  live: "Live",
  late: "Delayed",
  stale: "Source delayed",
  loading: "Connecting",
  reconnecting: "Reconnecting",
  offline: "Offline",
  refused: "Refused",
  failed: "Not available",
  retry: "Try again",
  history: "History",
  age: (seconds) => `${seconds} s ago`,
  time: (at) => new Date(at).toLocaleTimeString(),
};

/** On white and on black each has a contrast of 3 at least. The words say the same. */
const COLORS: Record<Level, string> = { green: "#1a9c5b", yellow: "#b7791f", red: "#e0394a" };

export function ConnectionStatus({ className, words }: ConnectionStatusProps): ReactElement {
  const said = { ...WORDS, ...words };
  const connection = useConnection();
  const { level, why } = connection;
  return (
    <div className={className ?? "kline-connection"} data-level={level} data-why={why}>
      <span role="status">
        <Light level={level} /> {said[why]}
      </span>{" "}
      {why !== "idle" && <Age words={said} />}{" "}
      {(level === "red" || why === "reconnecting") && (
        <button type="button" onClick={connection.retry}>
          {said.retry}
        </button>
      )}
      <History connection={connection} words={said} />
    </div>
  );
}

function Light({ level }: { readonly level: Level }): ReactElement {
  return (
    <svg width="0.6em" height="0.6em" viewBox="0 0 10 10" aria-hidden="true" focusable="false">
      <circle cx="5" cy="5" r="5" fill={COLORS[level]} />
    </svg>
  );
}

/** Apart, because it renders every second. */
function Age({ words }: { readonly words: Words }): ReactElement | null {
  const seconds = useDataAge();
  return seconds === null ? null : <span data-age={seconds}>{words.age(seconds)}</span>;
}

function History({
  connection,
  words,
}: {
  readonly connection: Connection;
  readonly words: Words;
}): ReactElement | null {
  if (connection.history.length === 0) return null;
  return (
    <details>
      <summary>{words.history}</summary>
      <ol>
        {connection.history.map(({ number, at, level, why }) => (
          <li key={number} data-level={level}>
            <Light level={level} /> <time dateTime={new Date(at).toISOString()}>{words.time(at)}</time> {words[why]}
          </li>
        ))}
      </ol>
    </details>
  );
}
