"""Klines from before the cached ones, encoded for snapshots: read at once, encoded in small pieces, cached nowhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from gateway.history.single_flight import SingleFlight
from gateway.protocol.native import kline_json

if TYPE_CHECKING:
    from gateway.history.aggregating_store import AggregatingStore
    from gateway.history.turns import Turns
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

PART = 2500
"""Klines that are sent at once to a client that resumes: half a megabyte, which every client takes."""

READS_MAX = 2
"""Reads under way at once: some 4 MB each until they are encoded."""

PIECE = 250
"""Klines encoded in one turn: half a millisecond."""


class Older(NamedTuple):
    """Stored klines that end before a given time."""

    klines: tuple[bytes, ...]
    """Each as JSON."""
    last_ms: int
    """Open time of the last one; where there is none, the time that they were asked from."""
    continues: bool
    """Whether they follow the kline that they were asked from, and nothing that is stored is missing between."""


class OlderKlines:
    """Those who ask for the same at the same time share one read."""

    def __init__(self, store: AggregatingStore, turns: Turns) -> None:
        """`turns`: of those who encode."""
        self._store = store
        self._turns = turns
        self._reading = asyncio.Semaphore(READS_MAX)
        self._reads: SingleFlight[Older] = SingleFlight()

    async def before(self, symbol: str, interval: Interval, end_ms: int, count: int) -> Older:
        """The last `count` that open before `end_ms`. Raises `StoreUnavailable`."""
        key = (symbol, interval.name, None, end_ms, count)
        return await self._reads.join(key, lambda: self._before(symbol, interval, end_ms, count))

    async def after(self, symbol: str, interval: Interval, cursor_ms: int, end_ms: int) -> Older:
        """Those that open after `cursor_ms` and before `end_ms`: the first of them, `PART` at most.

        They continue the kline at the cursor where that one is stored, or the next one is. Raises `StoreUnavailable`.
        """
        key = (symbol, interval.name, cursor_ms, end_ms, None)
        return await self._reads.join(key, lambda: self._after(symbol, interval, cursor_ms, end_ms))

    async def aclose(self) -> None:
        """Cancel the reads in flight."""
        await self._reads.aclose()

    async def _before(self, symbol: str, interval: Interval, end_ms: int, count: int) -> Older:
        async with self._reading:
            found = await self._store.closed_klines(symbol, interval.name, count, None, end_ms - 1)
            return Older(await self._encoded(found.klines), end_ms, continues=False)

    async def _after(self, symbol: str, interval: Interval, cursor_ms: int, end_ms: int) -> Older:
        async with self._reading:
            found = await self._store.closed_klines(symbol, interval.name, PART + 1, cursor_ms, end_ms - 1)
            klines = found.klines
            first_ms = klines[0].open_time_ms if klines else end_ms
            if first_ms == cursor_ms:
                klines = klines[1:]
            encoded = await self._encoded(klines)
        last_ms = klines[-1].open_time_ms if klines else cursor_ms
        return Older(encoded, last_ms, continues=first_ms <= interval.next_open(cursor_ms))

    async def _encoded(self, klines: list[Kline]) -> tuple[bytes, ...]:
        pieces: list[bytes] = []
        for first in range(0, len(klines), PIECE):
            async with self._turns.turn():
                pieces += map(kline_json, klines[first : first + PIECE])
        return tuple(pieces)
