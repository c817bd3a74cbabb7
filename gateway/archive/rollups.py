"""Longer klines out of an archive. Hours and days are kept in its table of rollups once they are made.

What is written into a series deletes the rollups that it touches, in the same transaction. A rollup is kept only if the
series has not changed while it was made. The last hours of a series are made anew each time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from gateway.archive.blocks import block_span, block_start, columns, columns_of, merged, pack, unpack
from gateway.archive.grains import CHUNK_MS, DAY, HOUR, Windows, grain_of, pieces, within
from gateway.model.interval import MONTH_MAX_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.archive.blocks import Columns
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

_BLOCKS = 16
"""Blocks of one read transaction."""

_DECODED = 2

_PAUSE_S = 0.0002
"""After each block, a millisecond of work, in which the other threads get their turn."""


class Aggregated(NamedTuple):
    """Klines that were aggregated from the parts before a given time."""

    klines: list[Kline]
    rest: list[Kline]
    """What there is of the kline after them: hours and days, ascending."""
    first_ms: int
    """Open time of the oldest part there is."""


@runtime_checkable
class Aggregates(Protocol):
    """An archive that makes longer klines itself."""

    async def aggregated(
        self,
        symbol: str,
        part: Interval,
        whole: Interval,
        limit: int,
        start_ms: int | None,
        end_ms: int,
        *,
        skip: bool,
    ) -> Aggregated | None:
        """See `Rollups.aggregated`. `None`: there is nothing of the series. Raises `ArchiveError`."""


class Bounds(NamedTuple):
    """Open times of the oldest and the newest kline of a series."""

    first_ms: int
    last_ms: int


class Tables(Protocol):
    """The stored parts of one series, and the hours and days that are kept of it. Called from one thread; what cannot
    be read is an error of the archive's kind."""

    def changes(self) -> int:
        """How many times the series has changed."""
        ...

    def kept(self, grain: str, begin_ms: int, end_ms: int, *, skip: bool) -> dict[int, bytes]:
        """The kept pieces that begin between the two times, the second one excluded, by where they begin."""
        ...

    def keep(self, grain: str, start_ms: int, data: bytes, *, skip: bool, changes: int) -> None:
        """Keep a piece, unless the series has changed since it had so many changes, or it cannot be kept now."""
        ...

    def stored(self, first_ms: int, end_ms: int) -> tuple[dict[int, bytes], list[bytes]]:
        """Blocks that begin between the two times by where they begin, and the klines between them that are in none,
        ascending: what there was at one moment."""
        ...


class Rollups:
    """Longer klines of one series."""

    def __init__(self, tables: Tables, part: Interval, known: Bounds, *, skip: bool) -> None:
        """`part`: the interval that is stored. `skip`: parts that are missing were quiet; see `market/aggregate.py`."""
        self._tables = tables
        self._part = part
        self._known = known
        self._skip = skip
        self._before = tables.changes()
        self._decoded: dict[int, Columns] = {}
        """The blocks that were decoded last: one may have the end of a piece and the beginning of the next."""

    def aggregated(self, whole: Interval, limit: int, start_ms: int | None, end_ms: int) -> Aggregated:
        """Klines of `whole` by open time, made of the parts before `end_ms`, an edge (`edge_of`): the first `limit`
        from the start, or without one the last."""
        oldest_ms = whole.open_time(self._known.first_ms)
        if start_ms is not None:
            first_ms = whole.open_time(start_ms)
            first_ms = first_ms if first_ms >= start_ms else whole.next_open(first_ms)
            found = self._between(whole, max(oldest_ms, first_ms), end_ms, limit)
            return found._replace(klines=found.klines[:limit])
        first_ms = max(oldest_ms, whole.back(whole.open_time(end_ms), limit))
        found = self._between(whole, first_ms, end_ms)
        while len(found.klines) < limit and first_ms > oldest_ms:
            # Some were missing.
            before_ms = first_ms
            first_ms = max(oldest_ms, whole.back(before_ms, limit - len(found.klines)))
            older = self._between(whole, first_ms, before_ms)
            found = found._replace(klines=older.klines + found.klines)
        return found

    def unmade(self, whole: Interval, limit: int, start_ms: int | None, end_ms: int) -> int:
        """Of how many parts, about, `aggregated` with the same arguments would have to make what it keeps."""
        grain = grain_of(self._part, whole)
        if grain is None:
            return 0
        first_ms = whole.back(whole.open_time(end_ms), limit) if start_ms is None else start_ms
        first_ms = max(first_ms, self._known.first_ms)
        end_ms = min(end_ms, self._known.last_ms, first_ms + limit * (whole.length_ms or MONTH_MAX_MS))
        span_ms = CHUNK_MS[grain.name]
        begin_ms = first_ms // span_ms * span_ms
        pieces_ms = range(begin_ms, end_ms - span_ms + 1, span_ms)
        kept = self._tables.kept(grain.name, begin_ms, end_ms, skip=self._skip) if pieces_ms else {}
        return sum(start_ms not in kept for start_ms in pieces_ms) * span_ms // self._part.length_ms

    def _between(self, whole: Interval, first_ms: int, end_ms: int, limit: int | None = None) -> Aggregated:
        """`limit`: stop when there are so many."""
        grain = grain_of(self._part, whole)
        windows = self._windows(whole)
        for kline, covered_ms in self._parts_of(whole, grain, first_ms, end_ms):
            windows.add(kline, covered_ms)
            if limit is not None and len(windows.closed) >= limit:
                return Aggregated(windows.closed, [], self._known.first_ms)
        if whole.open_time(end_ms) == end_ms:
            windows.close()
        return Aggregated(windows.closed, windows.rest, self._known.first_ms)

    def _parts_of(
        self, whole: Interval, grain: Interval | None, first_ms: int, end_ms: int
    ) -> Iterator[tuple[Kline, int]]:
        if grain is None:
            yield from self._pieces(whole, first_ms, end_ms)
            return
        last_ms = grain.open_time(end_ms)
        yield from self._grains(grain, first_ms, last_ms)
        if last_ms < end_ms:
            yield from self._grains(HOUR, max(first_ms, last_ms), end_ms)

    def _windows(self, whole: Interval) -> Windows:
        return Windows(whole, *self._known, skip=self._skip)

    def _grains(self, grain: Interval, first_ms: int, end_ms: int) -> Iterator[tuple[Kline, int]]:
        """Kept hours or days that open within these times, and those that are made now."""
        span_ms = CHUNK_MS[grain.name]
        begin_ms = first_ms // span_ms * span_ms
        kept = self._tables.kept(grain.name, begin_ms, end_ms, skip=self._skip)
        for start_ms in range(begin_ms, end_ms, span_ms):
            if start_ms in kept:
                klines = unpack(kept[start_ms], grain) if kept[start_ms] else []
            elif start_ms + span_ms <= self._known.last_ms:
                klines = self._make_and_keep(grain, start_ms, start_ms + span_ms)
            else:
                klines = self._make(grain, max(first_ms, start_ms), min(end_ms, start_ms + span_ms))
            for kline in klines:
                if first_ms <= kline.open_time_ms < end_ms:
                    yield kline, grain.length_ms

    def _make_and_keep(self, grain: Interval, first_ms: int, end_ms: int) -> list[Kline]:
        klines = self._make(grain, first_ms, end_ms)
        data = pack(klines) if klines else b""
        self._tables.keep(grain.name, first_ms, data, skip=self._skip, changes=self._before)
        return klines

    def _make(self, grain: Interval, first_ms: int, end_ms: int) -> list[Kline]:
        windows = self._windows(grain)
        by_hours = grain is DAY and HOUR.is_made_of(self._part)
        source = self._grains(HOUR, first_ms, end_ms) if by_hours else self._pieces(grain, first_ms, end_ms)
        for kline, covered_ms in source:
            windows.add(kline, covered_ms)
        windows.close()
        return windows.closed

    def _pieces(self, whole: Interval, first_ms: int, end_ms: int) -> Iterator[tuple[Kline, int]]:
        for found in self._columns(first_ms, end_ms):
            yield from pieces(within(found, first_ms, end_ms), self._part, whole)

    def _columns(self, first_ms: int, end_ms: int) -> Iterator[Columns]:
        """The stored parts block by block, those that are not packed yet included."""
        span_ms = block_span(self._part)
        begin_ms = block_start(self._part, max(first_ms, self._known.first_ms))
        for start_ms in range(begin_ms, min(end_ms, self._known.last_ms + 1), _BLOCKS * span_ms):
            yield from self._columns_of_blocks(start_ms, min(start_ms + _BLOCKS * span_ms, end_ms))

    def _columns_of_blocks(self, first_ms: int, end_ms: int) -> Iterator[Columns]:
        blocks, fresh = self._tables.stored(first_ms, end_ms)
        newer: dict[int, list[Kline]] = {}
        for data in fresh:
            (kline,) = unpack(data, self._part)
            newer.setdefault(block_start(self._part, kline.open_time_ms), []).append(kline)
        for start_ms in sorted(blocks.keys() | newer.keys()):
            if start_ms in newer:
                older = unpack(blocks[start_ms], self._part) if start_ms in blocks else []
                yield columns_of(merged(older, newer[start_ms]))
            else:
                yield self._columns_of(start_ms, blocks[start_ms])

    def _columns_of(self, start_ms: int, block: bytes) -> Columns:
        if start_ms not in self._decoded:
            if len(self._decoded) == _DECODED:
                del self._decoded[next(iter(self._decoded))]
            self._decoded[start_ms] = columns(block)
            time.sleep(_PAUSE_S)
        return self._decoded[start_ms]
