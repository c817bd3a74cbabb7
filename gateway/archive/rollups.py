"""Longer klines out of a SQLite archive. Hours and days are kept in the table `rollups` once they are made.

What is written into a series deletes the rollups that it touches, in the same transaction. A rollup is kept only if the
series has not changed while it was made. The last hours of a series are made anew each time.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from gateway.archive.blocks import block_span, block_start, columns, columns_of, merged, pack, unpack
from gateway.archive.grains import CHUNK_MS, DAY, HOUR, Windows, grain_of, pieces, within

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


def drop_rollups(connection: sqlite3.Connection, series: int, first_ms: int, last_ms: int) -> None:
    """Call when klines that open between the two times, both included, have changed, in the same transaction."""
    connection.execute("UPDATE series SET changes = changes + 1 WHERE id = ?", (series,))
    for grain, span_ms in CHUNK_MS.items():
        connection.execute(
            "DELETE FROM rollups WHERE series = ? AND grain = ? AND start_ms > ? AND start_ms <= ?",
            (series, grain, first_ms - span_ms, last_ms),
        )


def drop_before(connection: sqlite3.Connection, interval: Interval, before_ms: int) -> int:
    """Drop whole blocks of klines that open before that time, of all symbols; returns how many klines."""
    dropped = 0
    for (series,) in connection.execute("SELECT id FROM series WHERE interval = ?", (interval.name,)).fetchall():
        end_ms = block_start(interval, before_ms)
        where = (series, end_ms)
        (packed,) = connection.execute(
            "SELECT coalesce(sum(klines), 0) FROM blocks WHERE series = ? AND start_ms < ?", where
        ).fetchone()
        connection.execute("DELETE FROM blocks WHERE series = ? AND start_ms < ?", where)
        fresh = connection.execute("DELETE FROM fresh WHERE series = ? AND open_ms < ?", where).rowcount
        if packed or fresh:
            drop_rollups(connection, series, 0, end_ms - 1)
        dropped += packed + fresh
    return dropped


def bounds(connection: sqlite3.Connection, series: int) -> Bounds | None:
    """What there is of a series; `None`: nothing."""
    rows = [
        connection.execute(
            f"SELECT min(first_ms), max(last_ms) FROM (SELECT * FROM blocks WHERE series = ? ORDER BY start_ms {order}"
            f" LIMIT 1) UNION ALL SELECT min(open_ms), max(open_ms) FROM fresh WHERE series = ?",
            (series, series),
        ).fetchall()
        for order in ("ASC", "DESC")
    ]
    times_ms = [time_ms for found in rows for row in found for time_ms in row if time_ms is not None]
    return Bounds(min(times_ms), max(times_ms)) if times_ms else None


class Rollups:
    """Longer klines of one series."""

    def __init__(
        self, connection: sqlite3.Connection, series: int, part: Interval, known: Bounds, *, skip: bool
    ) -> None:
        """`skip`: parts that are missing were quiet; see `market/aggregate.py`."""
        self._connection = connection
        self._series = series
        self._part = part
        self._known = known
        self._skip = skip
        self._before = self._changes()
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
        rows = self._connection.execute(
            "SELECT start_ms, data FROM rollups WHERE series = ? AND grain = ? AND skip = ? AND start_ms >= ?"
            " AND start_ms < ?",
            (self._series, grain.name, self._skip, begin_ms, end_ms),
        )
        kept: dict[int, bytes] = dict(rows.fetchall())
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
        # Where it cannot be kept now it is made again.
        with suppress(sqlite3.Error):
            self._connection.execute(
                "INSERT OR REPLACE INTO rollups (series, grain, skip, start_ms, data)"
                " SELECT id, ?, ?, ?, ? FROM series WHERE id = ? AND changes = ?",
                (grain.name, self._skip, first_ms, data, self._series, self._before),
            )
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
        where = (self._series, first_ms, end_ms)
        self._connection.execute("BEGIN")
        try:
            blocks: dict[int, bytes] = dict(
                self._connection.execute(
                    "SELECT start_ms, data FROM blocks WHERE series = ? AND start_ms >= ? AND start_ms < ?", where
                ).fetchall()
            )
            fresh = self._connection.execute(
                "SELECT open_ms, kline FROM fresh WHERE series = ? AND open_ms >= ? AND open_ms < ? ORDER BY open_ms",
                where,
            ).fetchall()
        finally:
            self._connection.execute("COMMIT")
        newer: dict[int, list[Kline]] = {}
        for open_ms, kline in fresh:
            newer.setdefault(block_start(self._part, open_ms), []).extend(unpack(kline, self._part))
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

    def _changes(self) -> int:
        row: tuple[int] = self._connection.execute(
            "SELECT changes FROM series WHERE id = ?", (self._series,)
        ).fetchone()
        return row[0]
