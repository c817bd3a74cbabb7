"use client";
// Reads a part of a value of the store: the component renders when that part changes, and not otherwise.

import type { Readable } from "kline-gateway-client/store";
import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";

/** What was selected, and from which value. */
interface Selected<T, S> {
  readonly from: T;
  readonly value: S;
}

/** `select` may return a new object each time: as long as its entries are the same, so is the result. */
export function useReadable<T, S>(readable: Readable<T>, select: (value: T) => S): S {
  const rendered = useRef<{ readonly value: S } | null>(null);
  const [get, getInitial] = useMemo(() => {
    let last: Selected<T, S> | null = null;
    const selected = (from: T): S => {
      if (last !== null && Object.is(last.from, from)) return last.value;
      const value = select(from);
      // A selector that is a new function at each rendering begins with what was rendered.
      const before = last ?? rendered.current;
      last = { from, value: before !== null && isSame(before.value, value) ? before.value : value };
      return last.value;
    };
    return [() => selected(readable.get()), () => selected(readable.initial())] as const;
  }, [readable, select]);
  const value = useSyncExternalStore(readable.subscribe, get, getInitial);
  useEffect(() => {
    rendered.current = { value };
  }, [value]);
  return value;
}

/** Equal, or plain objects or lists with equal entries. */
export function isSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (!isPlain(one) || !isPlain(other) || Array.isArray(one) !== Array.isArray(other)) return false;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => Object.is(one[key], other[key]));
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}
