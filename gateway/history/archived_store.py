"""The archive behind Redis, as one `KlineStore`: Redis has the newest klines, the archive those before them.

Where both have a kline, that of Redis counts: it is the collector's newest word. Where Redis has a hole, the archive
fills it. A read that Redis can answer alone does not ask the archive; a read while Redis is away is answered by the
archive alone, and `available` says so. An archive that cannot be read costs what is in it, not the answer, unless
nothing else was asked for: "there is none" would be taken for the beginning of the data. Readers who need to know that
nothing is missing (`certain`) are told of both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from gateway.archive.blocks import merged
from gateway.archive.engine import ArchiveError
from gateway.archive.grains import edge_of
from gateway.archive.rollups import Aggregated, Aggregates
from gateway.history.store import StoreUnavailable
from gateway.model.interval import INTERVALS
from gateway.ops.counters import Histogram
from gateway.ops.logs import BurstLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.archive.engine import Archive
    from gateway.history.store import KlineStore, SeriesRead
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

logger = logging.getLogger(__name__)


ARCHIVE_RETRY_S = 1.0
"""How soon to ask again for what an archive that cannot be read may have."""

NEWEST_PARTS = 500
"""So many parts are left to the store, which has the collector's newest word on them."""


class ArchiveUnavailable(StoreUnavailable):
    """The archive cannot be read, and only it could have had what was asked for."""


class OlderAggregated(NamedTuple):
    """Longer klines that the archive has made."""

    found: Aggregated
    end_ms: int
    """Where the newer parts begin."""
    is_all: bool
    """Whether there is nothing newer in what was asked for."""


class ArchivedStore:
    """A `KlineStore` made of a store and an archive."""

    def __init__(self, store: KlineStore, archive: Archive, *, certain: bool = False) -> None:
        """`certain`: raise `StoreUnavailable` where one of the two cannot be read and may have more than the other."""
        self._store = store
        self._archive = archive
        self._certain = certain
        self._bursts = BurstLog()
        self.failures = 0
        """Reads of the archive that failed, since the start."""
        self.read_times = Histogram()
        # When the archive could be read last, if it cannot be now.
        self._failed_since_ms = 0

    @property
    def available(self) -> bool:
        """Whether the last read of the store succeeded."""
        return self._store.available

    @property
    def malformed(self) -> int:
        """Stored values that could not be used, since the start."""
        return self._store.malformed

    def check_readable(self) -> None:
        """Raises `ArchiveUnavailable` where the last read of the archive failed."""
        if self._failed_since_ms:
            raise ArchiveUnavailable("archive", self._failed_since_ms, ARCHIVE_RETRY_S)

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        """Closed klines of both by open time; see `KlineStore`. Raises `StoreUnavailable` where neither has any, and
        `ArchiveUnavailable`, which is one."""
        if start_ms is not None:
            older, newer = await asyncio.gather(
                self._archived(symbol, interval, limit, start_ms, end_ms),
                self._stored(symbol, interval, limit, start_ms, end_ms),
            )
            if self._certain and older is not None and len(older) < limit:
                _demand(newer, older, interval, end_ms)
            return self._joined(older, newer)[:limit]
        newer = await self._stored(symbol, interval, limit, None, end_ms)
        if isinstance(newer, list) and len(newer) == limit and not _has_hole(newer, interval):
            return newer
        older = await self._archived(symbol, interval, limit, None, end_ms)
        if self._certain and older is not None:
            _demand(newer, older, interval, end_ms)
        # The newest klines are the store's: where it has none there may be none.
        return self._joined([] if older is None and end_ms is None else older, newer)[-limit:]

    async def aggregated(
        self,
        symbol: str,
        part: Interval,
        whole: Interval,
        limit: int,
        start_ms: int | None,
        end_ms: int | None,
        *,
        skip: bool,
    ) -> OlderAggregated | None:
        """Klines of `whole` that the archive makes of its parts, but for the newest parts: the first `limit` from the
        start, or without one the last. `None`: it has none."""
        if not isinstance(self._archive, Aggregates):
            return None
        started_s = time.monotonic()
        try:
            last_ms = await self._archive.last(symbol, part.name)
            if last_ms is None:
                return None
            until_ms = max(0, edge_of(part, whole).open_time(last_ms - NEWEST_PARTS * part.length_ms))
            asked_ms = until_ms if end_ms is None else whole.next_open(whole.open_time(end_ms))
            first_ms = min(until_ms, asked_ms)
            if start_ms is not None and start_ms >= first_ms:
                return None
            found = await self._archive.aggregated(symbol, part, whole, limit, start_ms, first_ms, skip=skip)
        except ArchiveError as error:
            self._failed(error)
            return None
        finally:
            self.read_times.observe(time.monotonic() - started_s)
        return found and OlderAggregated(found, first_ms, end_ms is not None and asked_ms <= until_ms)

    async def closed_klines_of(self, reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        """The newest klines of many series, which are the store's."""
        return await self._store.closed_klines_of(reads)

    async def last_closed(self, series: Sequence[tuple[str, str]]) -> list[int | None]:
        """What the collector says."""
        return await self._store.last_closed(series)

    async def has_klines(self, symbol: str, interval: str) -> bool:
        """Whether either has a kline of the series."""
        if self._certain:
            # The store need not answer where the archive can.
            archived = await self._archived(symbol, interval, 1, None, None)
            return bool(archived) or await self._store.has_klines(symbol, interval)
        try:
            if await self._store.has_klines(symbol, interval):
                return True
        except StoreUnavailable:
            if await self._archived(symbol, interval, 1, None, None):
                return True
            raise
        return bool(await self._archived(symbol, interval, 1, None, None))

    async def has_klines_of(self, series: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether the store has a kline of each."""
        return await self._store.has_klines_of(series)

    async def has_data(self, symbol: str) -> bool:
        """Whether the store has anything of the symbol, or the archive a kline."""
        if not self._certain and await self._store.has_data(symbol):
            return True
        try:
            archived = await self._archive.has_symbol(symbol)
        except ArchiveError as error:
            self._failed(error)
            return False
        return archived or (self._certain and await self._store.has_data(symbol))

    async def ticker(self, symbol: str) -> Ticker | None:
        """The stored ticker: an old price is no history."""
        return await self._store.ticker(symbol)

    async def tickers(self, symbols: Sequence[str]) -> list[Ticker | None]:
        """The stored tickers."""
        return await self._store.tickers(symbols)

    async def symbols(self) -> set[str]:
        """The symbols of the store; what is in the archive alone is not traded any more."""
        return await self._store.symbols()

    async def aclose(self) -> None:
        """Close both."""
        await self._store.aclose()
        await self._archive.aclose()

    async def _stored(
        self, symbol: str, interval: str, limit: int, start_ms: int | None, end_ms: int | None
    ) -> list[Kline] | StoreUnavailable:
        try:
            return await self._store.closed_klines(symbol, interval, limit, start_ms, end_ms)
        except StoreUnavailable as error:
            return error

    async def _archived(
        self, symbol: str, interval: str, limit: int, start_ms: int | None, end_ms: int | None
    ) -> list[Kline] | None:
        """`None`: they cannot be read."""
        started_s = time.monotonic()
        try:
            klines = await self._archive.read(symbol, interval, limit, start_ms, end_ms)
            self._failed_since_ms = 0
            return klines
        except ArchiveError as error:
            self._failed(error)
            return None
        finally:
            self.read_times.observe(time.monotonic() - started_s)

    def _joined(self, older: list[Kline] | None, newer: list[Kline] | StoreUnavailable) -> list[Kline]:
        """Both, ascending, each once; raises the error where that is all there is. `None`: these cannot be read."""
        if isinstance(newer, StoreUnavailable):
            if older:
                return older
            raise newer
        if older is None and not newer:
            self.check_readable()
        return merged(older, newer) if older and newer else older or newer

    def _failed(self, error: ArchiveError) -> None:
        """The archive could not be read; raises `StoreUnavailable` where that is all there is to say."""
        self.failures += 1
        self._failed_since_ms = self._failed_since_ms or time.time_ns() // 1_000_000
        if line := self._bursts.add("read", f"archive cannot be read: {error}", time.monotonic()):
            logger.warning("%s", line)
        if self._certain:
            # Not `ArchiveUnavailable`: what the store has is no answer either.
            raise StoreUnavailable("archive", self._failed_since_ms, ARCHIVE_RETRY_S) from error


def _demand(newer: list[Kline] | StoreUnavailable, older: list[Kline], interval: str, end_ms: int | None) -> None:
    """Raise the error of a store that may have klines after those of the archive."""
    if isinstance(newer, StoreUnavailable):
        reaches_end = older and end_ms is not None and INTERVALS[interval].next_open(older[-1].open_time_ms) > end_ms
        if not reaches_end:
            raise newer


def _has_hole(klines: list[Kline], interval: str) -> bool:
    """Whether klines are missing between the first and the last one (at least one)."""
    known = INTERVALS[interval]
    return known.back(klines[-1].open_time_ms, len(klines) - 1) != klines[0].open_time_ms
