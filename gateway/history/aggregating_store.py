"""Closed klines of every interval: those that the store lacks are aggregated from shorter ones. Caches nothing.

The store lacks an interval of a symbol where it has not one kline of it. The interval is then aggregated from the
longest stored one that divides it. The configuration may state which intervals are stored.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.archive.grains import Windows
from gateway.history.archived_store import ArchivedStore, ArchiveUnavailable
from gateway.history.merge import within
from gateway.history.store import SeriesRead
from gateway.market.aggregate import Parts, aggregate_closed
from gateway.market.derivation import divisors_by_interval
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from gateway.config import MarketConfig
    from gateway.history.store import KlineStore
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

READ_PARTS = 5000
"""Parts of one read: decoding more at once would block the event loop for too long."""

PARTS_MAX = 50_000
"""Parts of one answer, of those that the archive does not aggregate itself: the newest ones."""


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

    def may_be_stored(self, interval: str) -> bool:
        """Whether the settings leave it open that the store has klines of this interval, or say so."""
        return not self._stored or interval in self._stored

    async def source_of(self, symbol: str, interval: str) -> str:
        """The interval that klines of this one are made of: itself where it is stored; "" where there are none. Raises
        `StoreUnavailable`."""
        names: list[str] = [interval] if self.may_be_stored(interval) else []
        for name in [*names, *self._divisors[interval]]:
            if await self.store.has_klines(symbol, name):
                return name
        return ""

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> StoredKlines:
        """Closed klines by open time, both ends included, each once: the first `limit` from the start, or without one
        the last `limit`. Of an aggregated interval as many as there are parts for. Raises `StoreUnavailable`."""
        unread: ArchiveUnavailable | None = None
        if self.may_be_stored(interval):
            try:
                klines = await self.store.closed_klines(symbol, interval, limit, start_ms, end_ms)
                if klines or interval in self._stored or await self.store.has_klines(symbol, interval):
                    return StoredKlines(klines)
            except ArchiveUnavailable as error:
                if interval in self._stored:
                    raise
                # There may be shorter ones.
                unread = error
        for divisor in self._divisors[interval]:
            if await self.store.has_klines(symbol, divisor):
                return await self._aggregate(symbol, INTERVALS[interval], INTERVALS[divisor], limit, start_ms, end_ms)
        if unread is not None:
            raise unread
        return StoredKlines([])

    async def closed_klines_of(self, reads: Sequence[SeriesRead], newest_max: int = PARTS_MAX) -> list[StoredKlines]:
        """The same for many series in few round trips, in the order of `reads`.

        One read of a stored interval serves all intervals that are aggregated from it. `newest_max`: as many are
        aggregated at most where the newest are asked for, because each costs many parts.
        """
        found = [StoredKlines([]) for _ in reads]
        stored = [place for place, read in enumerate(reads) if self.may_be_stored(read.interval)]
        answers = await self.store.closed_klines_of([reads[place] for place in stored])
        for place, klines in zip(stored, answers, strict=True):
            found[place] = StoredKlines(klines)
        reads = [read._replace(limit=min(read.limit, newest_max)) if read.start_ms is None else read for read in reads]
        lacking = [n for n, read in enumerate(reads) if not (found[n].klines or read.interval in self._stored)]
        part_reads: dict[tuple[str, str, bool], _PartRead] = {}
        for place, divisor in zip(lacking, await self._divisors_of([reads[n] for n in lacking]), strict=True):
            if divisor is not None:
                read = reads[place]
                key = (read.symbol, divisor, read.start_ms is None)
                part_reads.setdefault(key, _PartRead(read.symbol, divisor)).add(place, read)
        for part_read, parts in zip(part_reads.values(), await self._parts_of(part_reads.values()), strict=True):
            for place in part_read.places:
                found[place] = self._aggregated(reads[place], part_read.divisor, parts)
                await asyncio.sleep(0)
        return found

    async def _divisors_of(self, reads: Sequence[SeriesRead]) -> list[str | None]:
        """The stored intervals to aggregate those of `reads` from; `None` where they are stored, or cannot be made."""
        names = {read.interval: ((read.interval,) if not self._stored else ()) for read in reads}
        candidates = {name: (*own, *self._divisors[name]) for name, own in names.items()}
        series = list(dict.fromkeys((read.symbol, name) for read in reads for name in candidates[read.interval]))
        has_klines = dict(zip(series, await self.store.has_klines_of(series), strict=True))
        sources = [
            next((name for name in candidates[read.interval] if has_klines[read.symbol, name]), None) for read in reads
        ]
        return [None if name == read.interval else name for read, name in zip(reads, sources, strict=True)]

    async def _parts_of(self, part_reads: Collection[_PartRead]) -> list[list[Kline]]:
        first_pages = [
            SeriesRead(read.symbol, read.divisor, min(read.wanted, READ_PARTS), read.first_ms) for read in part_reads
        ]
        found = await self.store.closed_klines_of(first_pages)
        for place, read in enumerate(part_reads):
            if len(found[place]) == READ_PARTS < read.wanted:
                found[place] = await self._parts(read.symbol, read.divisor, read.wanted, read.first_ms, None)
        return found

    def _aggregated(self, read: SeriesRead, divisor: str, parts: list[Kline]) -> StoredKlines:
        """Aggregate those of the parts that a read of this series alone would have found."""
        wanted, first_ms = _range_of_parts(read, divisor)
        if first_ms is None:
            own = parts[-wanted:]
        else:
            first = bisect_left(parts, first_ms, key=lambda part: part.open_time_ms)
            own = parts[first : first + wanted]
        whole = INTERVALS[read.interval]
        klines = aggregate_closed(own, INTERVALS[divisor], whole, skip=self._skip_quiet)
        klines = [kline for kline in klines if within(kline, read.start_ms, None)]
        some = klines[-read.limit :] if read.start_ms is None else klines[: read.limit]
        return StoredKlines(some, Parts(divisor, own))

    async def _aggregate(
        self, symbol: str, interval: Interval, divisor: Interval, limit: int, start_ms: int | None, end_ms: int | None
    ) -> StoredKlines:
        if isinstance(self.store, ArchivedStore) and limit * interval.parts_max(divisor) > READ_PARTS:
            klines = await self._archived(self.store, symbol, interval, divisor, limit, start_ms, end_ms)
            if klines is not None:
                return StoredKlines(klines, Parts(divisor.name, []))
        wanted, first_ms = _range_of_parts(SeriesRead(symbol, interval.name, limit, start_ms), divisor.name)
        last_ms = None if end_ms is None else interval.close_time(interval.next_open(interval.open_time(end_ms)))
        parts = await self._parts(symbol, divisor.name, wanted, first_ms, last_ms)
        aggregated = aggregate_closed(parts, divisor, interval, skip=self._skip_quiet)
        klines = [kline for kline in aggregated if within(kline, start_ms, end_ms)]
        if not klines and isinstance(self.store, ArchivedStore):
            # The few parts that were found do not say that there are no others.
            self.store.check_readable()
        return StoredKlines(klines[-limit:] if start_ms is None else klines[:limit], Parts(divisor.name, parts))

    async def _archived(
        self,
        store: ArchivedStore,
        symbol: str,
        interval: Interval,
        divisor: Interval,
        limit: int,
        start_ms: int | None,
        end_ms: int | None,
    ) -> list[Kline] | None:
        """The same where the archive makes all but the newest of them; `None` where it cannot."""
        older = await store.aggregated(symbol, divisor, interval, limit, start_ms, end_ms, skip=self._skip_quiet)
        if older is None:
            return None
        klines, rest, first_ms = older.found
        if not older.is_all and (start_ms is None or len(klines) < limit):
            last_ms = None if end_ms is None else interval.close_time(interval.open_time(end_ms))
            parts = await self._parts(symbol, divisor.name, PARTS_MAX, older.end_ms, last_ms)
            if len(parts) == PARTS_MAX:
                # The archive is far behind.
                return None
            windows = Windows(interval, first_ms, parts[-1].open_time_ms if parts else 0, skip=self._skip_quiet)
            windows.add_all([*rest, *parts])
            windows.close()
            klines = [*klines, *windows.closed]
        klines = [kline for kline in klines if within(kline, start_ms, end_ms)]
        return klines[-limit:] if start_ms is None else klines[:limit]

    async def _parts(
        self, symbol: str, divisor: str, wanted: int, first_ms: int | None, last_ms: int | None
    ) -> list[Kline]:
        """Read parts in pages: the first `wanted` from `first_ms` on, or without it the last."""
        parts: list[Kline] = []
        while len(parts) < wanted:
            count = min(wanted - len(parts), READ_PARTS)
            try:
                page = await self.store.closed_klines(symbol, divisor, count, first_ms, last_ms)
            except ArchiveUnavailable:
                if not parts:
                    raise
                # What the store has is better than nothing.
                break
            parts = page + parts if first_ms is None else parts + page
            if len(page) < count:
                break
            if first_ms is None:
                last_ms = page[0].open_time_ms - 1
            else:
                first_ms = page[-1].open_time_ms + 1
        return parts


@dataclass(slots=True)
class _PartRead:
    """One read of parts, for several reads (`places`) of aggregated intervals."""

    symbol: str
    divisor: str
    wanted: int = 0
    first_ms: int | None = None
    places: list[int] = field(default_factory=list)

    def add(self, place: int, read: SeriesRead) -> None:
        """Widen the read by what another interval needs; all have a start, or none has."""
        wanted, first_ms = _range_of_parts(read, self.divisor)
        if first_ms is None:
            self.wanted = max(self.wanted, wanted)
        else:
            # The ranges may begin far apart.
            self.wanted = min(self.wanted + wanted, PARTS_MAX)
            self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.places.append(place)


def _range_of_parts(read: SeriesRead, divisor: str) -> tuple[int, int | None]:
    """How many parts a read of an aggregated interval needs, and from which open time on."""
    interval = INTERVALS[read.interval]
    # One more than asked for at either end: a kline there whose parts are not all read is left out.
    wanted = min((read.limit + 2) * interval.parts_max(INTERVALS[divisor]), PARTS_MAX)
    start_ms = read.start_ms
    return wanted, None if start_ms is None else max(0, interval.previous_open(interval.open_time(start_ms)))
