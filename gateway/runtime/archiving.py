"""Writes what closes into the archive: takes it from memory, and from Redis what memory no longer has.

Never delays the stream: it looks at the market every few seconds, and the archive works in threads. While the archive
is away nothing is kept for it: each series remembers how far it is written, and goes on from there out of Redis. Klines
that Redis has dropped meanwhile are a hole in the archive, which is counted and logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.archive.engine import ArchiveError
from gateway.archive.upkeep import Prunes, missing
from gateway.history.store import StoreUnavailable
from gateway.model.interval import DAY_MS, INTERVALS, MONTH_MAX_MS
from gateway.ops.logs import BurstLog
from gateway.ops.metrics import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.archive.engine import Archive, SeriesName
    from gateway.config import ArchiveConfig
    from gateway.history.store import KlineStore
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.model.kline import Kline

logger = logging.getLogger(__name__)

PERIOD_S = 5.0

SIZE_S = 60.0
"""Between two looks at how large the archive is."""

SURVEY_S = 3600.0
"""Between two looks at what is missing in it, and what it need not keep any longer: each walks through all of it."""

# Series looked at before other tasks get their turn: under a millisecond.
_SLICE = 500

# Klines of a series that are read from Redis at once; it keeps 500 of each.
_READ_MAX = 5000


_HOLES_MAX = 1000
"""Holes that are listed; of more the newest."""


class ArchiveHole(NamedTuple):
    """Klines that were dropped from Redis before they could be archived: open times of the first and the last one."""

    symbol: str
    interval: str
    from_ms: int
    to_ms: int
    since_ms: int
    """Market time at which it was found."""


class Archiving:
    """Call `run` once. Of several processes with one archive only one writes: see `Archive.lead`."""

    def __init__(
        self,
        archive: Archive,
        store: KlineStore,
        market: Market,
        keep_days: Mapping[str, int] | None = None,
        clock_ms: Callable[[], int] = lambda: 0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`store`: Redis, without the archive behind it. `keep_days`: by interval, for how long klines are kept.
        `clock_ms`: market time."""
        self.written = 0
        """Klines that were new or changed, since the start."""
        self.failures = 0
        """Writes that failed."""
        self.holes = 0
        """Times that klines were missing in Redis and could not be archived."""
        self.leads = False
        """Whether this process is the one that writes."""
        self.pending = 0
        """Closed klines in memory that the last attempt to write has left."""
        self.bytes = 0
        """Of the archive on disk."""
        self.missing = 0
        """Klines between the first and the last one of each series that the archive does not have, at the last look."""
        self._archive = archive
        self._store = store
        self._market = market
        self._keep_days = keep_days or {}
        self._clock_ms = clock_ms
        self._clock_s = clock_s
        self._current_s = clock_s()
        self._sized_s = self._surveyed_s = -SURVEY_S
        # What has been written of each series, as far as it is still in memory.
        self._written: dict[Series, tuple[Kline, ...]] = {}
        self._bursts = BurstLog()
        self._holes: deque[ArchiveHole] = deque(maxlen=_HOLES_MAX)

    @classmethod
    def of(
        cls,
        archive: Archive | None,
        store: KlineStore,
        market: Market,
        config: ArchiveConfig,
        clock_ms: Callable[[], int],
    ) -> Archiving | None:
        """That of an archive, where there is one."""
        return None if archive is None else cls(archive, store, market, config.keep_days, clock_ms)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                # Asked each time: with the connection to a server goes what was agreed there.
                self.leads = await self._archive.lead()
                if self.leads:
                    await self.write()
                self._current_s = self._clock_s()
                await self.survey()
            except ArchiveError as error:
                self.failures += 1
                if line := self._bursts.add("write", f"archive cannot be written: {error}", self._clock_s()):
                    logger.warning("%s", line)
            except StoreUnavailable:
                # What is missing is read when Redis is back.
                self._current_s = self._clock_s()

    async def write(self) -> None:
        """Write what has closed or was corrected since the last time. Raises `ArchiveError`, `StoreUnavailable`."""
        batch: dict[SeriesName, list[Kline]] = {}
        taken: dict[Series, tuple[Kline, ...]] = {}
        for number, series in enumerate(self._stored_series()):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            closed = tuple(series.closed)
            before = self._written.get(series)
            if not closed or closed == before:
                continue
            if before is None or closed[0].open_time_ms > before[-1].open_time_ms:
                await self._catch_up(series)
                before = ()
            taken[series] = closed
            if new := [plain(kline) for kline in closed if kline not in before]:
                batch[series.symbol, series.interval.name] = new
        self.pending = sum(map(len, batch.values()))
        if batch:
            self.written += await self._archive.write(batch)
        self._written |= taken
        self.pending = 0

    async def survey(self) -> None:
        """Look at the archive, and drop what it need not keep, where it is time. Raises `ArchiveError`."""
        now_s = self._clock_s()
        if now_s - self._sized_s >= SIZE_S:
            self._sized_s = now_s
            self.bytes = await self._archive.size_bytes()
        if self.leads and now_s - self._surveyed_s >= SURVEY_S:
            self._surveyed_s = now_s
            await self._drop_old()
            coverage = await self._archive.coverage()
            self.missing = sum(missing(name, part) for (_, name), part in coverage.items())
            for hole in tuple(self._holes):
                if await self._is_filled(hole):
                    self._holes.remove(hole)

    async def _drop_old(self) -> None:
        if not isinstance(self._archive, Prunes):
            return
        for name, days in self._keep_days.items():
            if dropped := await self._archive.prune(name, self._clock_ms() - days * DAY_MS):
                logger.info("archive dropped klines interval=%s klines=%d older_than_days=%d", name, dropped, days)

    async def _is_filled(self, hole: ArchiveHole) -> bool:
        """Whether an import or a backfill has brought what was missing."""
        windows = range(hole.from_ms, hole.to_ms + 1, INTERVALS[hole.interval].length_ms or MONTH_MAX_MS)
        found = await self._archive.read(hole.symbol, hole.interval, len(windows), hole.from_ms, hole.to_ms)
        return len(found) >= len(windows)

    def open_holes(self) -> tuple[ArchiveHole, ...]:
        """The holes that were found since the start and not filled since, as of the last look at what is missing."""
        return tuple(self._holes)

    @property
    def behind_s(self) -> float:
        """For how long the archive cannot be written; 0 while it can."""
        waited_s = self._clock_s() - self._current_s
        return waited_s if waited_s > 2 * PERIOD_S else 0.0

    def readings(self) -> Iterator[Reading]:
        """Its metrics."""
        yield Reading("archive_leads", {}, float(self.leads))
        yield Reading("archive_behind_seconds", {}, self.behind_s)
        yield Reading("archive_pending_klines", {}, self.pending)
        yield Reading("archive_missing_klines", {}, self.missing)
        yield Reading("archive_bytes", {}, self.bytes)
        yield Reading("archive_written_total", {}, self.written)
        yield Reading("archive_write_failures_total", {}, self.failures)
        yield Reading("archive_holes_total", {}, self.holes)

    def to_dict(self) -> dict[str, object]:
        """Its part of the status."""
        return {
            "leads": self.leads,
            "behind_s": round(self.behind_s),
            "pending": self.pending,
            "missing": self.missing,
            "bytes": self.bytes,
            "written": self.written,
            "failures": self.failures,
        }

    def _stored_series(self) -> Iterator[Series]:
        """The series that the collector stores; what is made of them is made again when it is asked for."""
        for series in self._market.every_series():
            if not self._market.divisor(series):
                yield series

    async def _catch_up(self, series: Series) -> None:
        """Write what Redis has of a series and the archive does not."""
        symbol, name = series.symbol, series.interval.name
        last_ms = await self._archive.last(symbol, name)
        start_ms = None if last_ms is None else last_ms + 1
        klines = await self._store.closed_klines(symbol, name, _READ_MAX, start_ms)
        if not klines:
            return
        if last_ms is not None and klines[0].open_time_ms > series.interval.next_open(last_ms):
            self.holes += 1
            first_ms = klines[0].open_time_ms
            missed = series.interval.next_open(last_ms), series.interval.previous_open(first_ms)
            self._holes.append(ArchiveHole(symbol, name, *missed, self._clock_ms()))
            logger.warning("archive has a hole series=%s/%s from_ms=%d to_ms=%d", symbol, name, last_ms, first_ms)
        self.written += await self._archive.write({(symbol, name): [plain(kline) for kline in klines]})


def plain(kline: Kline) -> Kline:
    """A closed kline as an archive keeps it: without what only matters while it is news."""
    return kline._replace(event_time_ms=0, provisional=False)
