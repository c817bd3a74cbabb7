"""Keeps what was read: least recently used symbols go first, reads age, old ones still serve while the store is away.

Own code and not a cache library's: those drop what has expired, and the expired is just what an outage needs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from gateway.history.single_flight import SingleFlight
from gateway.history.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

V = TypeVar("V")


class Found(NamedTuple, Generic[V]):
    value: V
    cached: bool
    """Not read for this request."""
    stale: bool
    """Older than it should be, because a newer one could not be had."""


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    read_at_s: float


class ReadCache(Generic[V]):
    """Values by symbol and kind (an interval, or nothing). An empty answer is never kept: it may fill at any moment,
    and names that nobody has data for must not push out the others."""

    def __init__(self, symbols: int, ttl_s: float, clock_s: Callable[[], float]) -> None:
        self._symbols = symbols
        self._ttl_s = ttl_s
        self._clock_s = clock_s
        self._entries: OrderedDict[str, dict[str, _Entry[V]]] = OrderedDict()
        self._flight: SingleFlight[V] = SingleFlight()
        self.hits = 0
        self.misses = 0
        self.stale_served = 0

    @property
    def coalesced(self) -> int:
        """Requests that waited for a read another one had begun."""
        return self._flight.coalesced

    async def get(
        self, symbol: str, kind: str, read: Callable[[], Coroutine[None, None, V]], max_age_s: float | None = None
    ) -> Found[V]:
        """The kept value if it is young enough, else what `read` brings, else the old one. `max_age_s` overrides the
        time to live. Raises what `read` raises when there is nothing to fall back on."""
        entry = self._find(symbol, kind)
        age_s = self._ttl_s if max_age_s is None else max_age_s
        if entry is not None and self._clock_s() - entry.read_at_s < age_s:
            self.hits += 1
            return Found(entry.value, cached=True, stale=False)
        try:
            value = await self._flight.join((symbol, kind), lambda: self._read(symbol, kind, read))
        except StoreUnavailable:
            if entry is None:
                raise
        else:
            if value or entry is None:
                return Found(value, cached=False, stale=False)
        self.stale_served += 1
        # Looked up again: while this request waited, live news may have extended the entry.
        latest = self._find(symbol, kind) or entry
        return Found(latest.value, cached=True, stale=True)

    def put(self, symbol: str, kind: str, value: V, read_at_s: float) -> None:
        if not value:
            return
        self._entries.setdefault(symbol, {})[kind] = _Entry(value, read_at_s)
        self._entries.move_to_end(symbol)
        if len(self._entries) > self._symbols:
            self._entries.popitem(last=False)

    def replace(self, symbol: str, kind: str, value: V) -> None:
        """Put a value made from the kept one in its place; its age stays. Nothing kept, nothing done."""
        if entry := self._entries.get(symbol, {}).get(kind):
            entry.value = value

    async def aclose(self) -> None:
        await self._flight.aclose()

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
