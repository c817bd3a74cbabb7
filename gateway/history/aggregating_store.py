"""Closed klines of every interval: those that the store lacks are aggregated from shorter ones. Caches nothing.

The store lacks an interval of a symbol where it has not one kline of it. The interval is then aggregated from the
longest stored one that divides it. The configuration may state which intervals are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.history.merge import within
from gateway.market.aggregate import Parts, aggregate_closed
from gateway.market.derivation import divisors_by_interval
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from gateway.config import MarketConfig
    from gateway.history.store import KlineStore
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

READ_PARTS = 5000
"""Parts of one read: decoding more at once would block the event loop for too long."""

PARTS_MAX = 50_000
"""Parts of one answer. The collector keeps 500, so only a store that keeps far more comes near it."""


@dataclass(frozen=True, slots=True)
class StoredKlines:
    """Closed klines, ascending. `parts`: the shorter klines that they are aggregated from, `None` where stored."""

    klines: list[Kline]
    parts: Parts | None = None


class AggregatingStore:
    """Reads klines of stored intervals as they are and aggregates the others. `store` has everything else."""

    def __init__(self, store: KlineStore, config: MarketConfig) -> None:
        self.store = store
        self._stored = frozenset(config.stored)
        self._divisors = divisors_by_interval(config)
        self._skip_quiet = config.quiet == "skip"

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> StoredKlines:
        """Closed klines by open time, both ends included, each once: the first `limit` from the start, or without one
        the last `limit`. Of an aggregated interval as many as there are parts for. Raises `StoreUnavailable`."""
        if interval in self._stored or not self._stored:
            klines = await self.store.closed_klines(symbol, interval, limit, start_ms, end_ms)
            if klines or interval in self._stored or await self.store.has_klines(symbol, interval):
                return StoredKlines(klines)
        for divisor in self._divisors[interval]:
            if await self.store.has_klines(symbol, divisor):
                return await self._aggregate(symbol, INTERVALS[interval], INTERVALS[divisor], limit, start_ms, end_ms)
        return StoredKlines([])

    async def _aggregate(
        self, symbol: str, interval: Interval, divisor: Interval, limit: int, start_ms: int | None, end_ms: int | None
    ) -> StoredKlines:
        # One more than asked for at either end: a kline there whose parts are not all read is left out.
        wanted = min((limit + 2) * interval.parts_max(divisor), PARTS_MAX)
        first_ms = None if start_ms is None else max(0, interval.previous_open(interval.open_time(start_ms)))
        last_ms = None if end_ms is None else interval.close_time(interval.next_open(interval.open_time(end_ms)))
        parts: list[Kline] = []
        while len(parts) < wanted:
            count = min(wanted - len(parts), READ_PARTS)
            page = await self.store.closed_klines(symbol, divisor.name, count, first_ms, last_ms)
            parts = page + parts if first_ms is None else parts + page
            if len(page) < count:
                break
            if first_ms is None:
                last_ms = page[0].open_time_ms - 1
            else:
                first_ms = page[-1].open_time_ms + 1
        aggregated = aggregate_closed(parts, divisor, interval, skip=self._skip_quiet)
        klines = [kline for kline in aggregated if within(kline, start_ms, end_ms)]
        return StoredKlines(klines[-limit:] if start_ms is None else klines[:limit], Parts(divisor.name, parts))
