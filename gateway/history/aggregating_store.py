"""The store, with the intervals that it lacks made of those that it has. Keeps nothing but what it found to be lacking.

An interval is lacking where not one kline of it is stored; it is then made of the largest stored one that divides it.
Settings may say beforehand which are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.history.merge import within
from gateway.market.aggregate import Parts, rolled
from gateway.market.derivation import divisors_by_interval
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from gateway.config import MarketConfig
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

READ_PARTS = 5000
"""Parts of one read: decoding more would hold everybody up for too long."""

PARTS_MAX = 50_000
"""Parts of one answer. The collector keeps 500, so only a store that keeps far more comes near it."""


class Stored(Protocol):
    """What is asked of the store (`store.Store`)."""

    @property
    def malformed(self) -> int: ...

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]: ...

    async def holds(self, symbol: str, interval: str) -> bool: ...

    async def ticker(self, symbol: str) -> Ticker | None: ...

    async def has_data(self, symbol: str) -> bool: ...

    async def symbols(self) -> set[str]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Closed klines, ascending; with `parts` they are made of these."""

    klines: list[Kline]
    parts: Parts | None = None


class AggregatingStore:
    """Reads as the store does, and says what it made itself. Raises what the store raises."""

    def __init__(self, store: Stored, config: MarketConfig) -> None:
        self._store = store
        self._stored = frozenset(config.stored)
        self._divisors = divisors_by_interval(config)
        self._skip_quiet = config.quiet == "skip"

    @property
    def malformed(self) -> int:
        return self._store.malformed

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> Found:
        """Closed klines by open time, both ends included, each once: the first `limit` from the start, or without one
        the last `limit`. Of those that are made of others, as many as there are parts for."""
        if interval in self._stored or not self._stored:
            klines = await self._store.closed_klines(symbol, interval, limit, start_ms, end_ms)
            if klines or interval in self._stored or await self._store.holds(symbol, interval):
                return Found(klines)
        for name in self._divisors[interval]:
            if await self._store.holds(symbol, name):
                return await self._rolled(symbol, INTERVALS[interval], INTERVALS[name], limit, start_ms, end_ms)
        return Found([])

    async def ticker(self, symbol: str) -> Ticker | None:
        return await self._store.ticker(symbol)

    async def has_data(self, symbol: str) -> bool:
        return await self._store.has_data(symbol)

    async def symbols(self) -> set[str]:
        return await self._store.symbols()

    async def _rolled(
        self, symbol: str, whole: Interval, part: Interval, limit: int, start_ms: int | None, end_ms: int | None
    ) -> Found:
        # One more than asked for at either end: what is cut off there is left out.
        wanted = min((limit + 2) * whole.parts_max(part), PARTS_MAX)
        first_ms = None if start_ms is None else max(0, whole.previous_open(whole.open_time(start_ms)))
        last_ms = None if end_ms is None else whole.close_time(whole.next_open(whole.open_time(end_ms)))
        parts: list[Kline] = []
        while len(parts) < wanted:
            count = min(wanted - len(parts), READ_PARTS)
            more = await self._store.closed_klines(symbol, part.name, count, first_ms, last_ms)
            if first_ms is None:
                parts = more + parts
            else:
                parts += more
            if len(more) < count:
                break
            if first_ms is None:
                last_ms = more[0].open_time_ms - 1
            else:
                first_ms = more[-1].open_time_ms + 1
        klines = [
            kline for kline in rolled(parts, part, whole, skip=self._skip_quiet) if within(kline, start_ms, end_ms)
        ]
        return Found(klines[-limit:] if start_ms is None else klines[:limit], Parts(part.name, parts))
