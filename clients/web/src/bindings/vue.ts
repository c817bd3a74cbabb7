// For Vue: a value of the store as a reference, for as long as a component or another scope lives.

import { type MaybeRefOrGetter, onScopeDispose, type ShallowRef, shallowRef, toValue, watch } from "vue";
import type { Readable } from "../store/index.ts";

/**
 * `const klines = useReadable(() => market.klines(props.symbol, "1m"))`, with a `MarketStore` as `market`: follows another value
 * when the getter returns one. On a server it is the initial value.
 */
export function useReadable<T>(source: MaybeRefOrGetter<Readable<T>>): Readonly<ShallowRef<T>> {
  const value = shallowRef(toValue(source).initial());
  if (typeof window === "undefined") return value;
  let stop = (): void => {};
  watch(
    () => toValue(source),
    (readable) => {
      stop();
      const read = (): void => {
        value.value = readable.get();
      };
      stop = readable.subscribe(read);
      read();
    },
    { immediate: true },
  );
  onScopeDispose(() => stop());
  return value;
}
