"""Caches reads of the store: the least recently used symbols are dropped first, and values expire.

No cache library, because those drop expired values: here they are still served while the store is unavailable.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from gateway.history.single_flight import SingleFlight
from gateway.history.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

V = TypeVar("V")


class Lookup(NamedTuple, Generic[V]):
    """A value and where it comes from."""

    value: V
    cached: bool
    """Not read for this request."""
    stale: bool
    """Expired, and no newer one could be read."""


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    read_at_s: float


class ReadCache(Generic[V]):
    """Values by symbol and kind (an interval, or nothing).

    An empty value is never kept: it may fill at any moment, and unknown symbols must not push out the others.
    """

    def __init__(self, symbols: int, ttl_s: float, clock_s: Callable[[], float]) -> None:
        self._symbols = symbols
        self._ttl_s = ttl_s
        self._clock_s = clock_s
        self._entries: OrderedDict[str, dict[str, _Entry[V]]] = OrderedDict()
        self._reads: SingleFlight[V] = SingleFlight(clock_s)
        self.hits = 0
        self.misses = 0
        self.stale_served = 0

    @property
    def coalesced(self) -> int:
        """Requests that waited for a read that another one had started."""
        return self._reads.coalesced

    async def get(
        self, symbol: str, kind: str, read: Callable[[], Coroutine[None, None, V]], max_age_s: float | None = None
    ) -> Lookup[V]:
        """The cached value if it is young enough, else what `read` returns, else the expired one.

        `max_age_s` overrides the time to live, and holds for a read under way that others wait for, too. Raises what
        `read` raises when there is no value to fall back on.
        """
        entry = self._find(symbol, kind)
        age_s = self._ttl_s if max_age_s is None else max_age_s
        if entry is not None and self._clock_s() - entry.read_at_s < age_s:
            self.hits += 1
            return Lookup(entry.value, cached=True, stale=False)
        try:
            join_s = math.inf if max_age_s is None else max_age_s
            value = await self._reads.join((symbol, kind), lambda: self._read(symbol, kind, read), join_s)
        except StoreUnavailable:
            if entry is None:
                raise
        else:
            if value or entry is None:
                return Lookup(value, cached=False, stale=False)
        self.stale_served += 1
        # Looked up again: `replace` may have extended the entry with live klines while this request waited.
        latest = self._find(symbol, kind) or entry
        return Lookup(latest.value, cached=True, stale=True)

    def fresh(self, symbol: str, kind: str) -> V | None:
        """The cached value if `get` would return it without reading. Not counted as a hit."""
        entry = self._find(symbol, kind)
        return entry.value if entry is not None and self._clock_s() - entry.read_at_s < self._ttl_s else None

    def put(self, symbol: str, kind: str, value: V, read_at_s: float) -> None:
        """Cache a value unless it is empty, or a newer one has been read meanwhile."""
        known = self._entries.get(symbol, {}).get(kind)
        if not value or (known is not None and known.read_at_s > read_at_s):
            return
        self._entries.setdefault(symbol, {})[kind] = _Entry(value, read_at_s)
        self._entries.move_to_end(symbol)
        if len(self._entries) > self._symbols:
            self._entries.popitem(last=False)

    def replace(self, symbol: str, kind: str, value: V) -> None:
        """Replace a cached value by one made from it; its age stays. Without a cached value this does nothing."""
        if entry := self._entries.get(symbol, {}).get(kind):
            entry.value = value

    async def aclose(self) -> None:
        """Cancel the reads in flight."""
        await self._reads.aclose()

    def _find(self, symbol: str, kind: str) -> _Entry[V] | None:
        kinds = self._entries.get(symbol)
        if kinds is None:
            return None
        self._entries.move_to_end(symbol)
        return kinds.get(kind)

    async def _read(self, symbol: str, kind: str, read: Callable[[], Coroutine[None, None, V]]) -> V:
        self.misses += 1
        # The age counts from before the read: what changes during it may be missing in it.
        read_at_s = self._clock_s()
        value = await read()
        self.put(symbol, kind, value, read_at_s)
        return value
