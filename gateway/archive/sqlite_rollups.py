"""The parts and the rollups of a series in a SQLite archive: what `Rollups` reads and keeps."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.archive.blocks import block_start
from gateway.archive.grains import CHUNK_MS
from gateway.archive.rollups import Bounds

if TYPE_CHECKING:
    from gateway.model.interval import Interval


class SqliteTables:
    """`Tables` of one series, on the connection of the thread that uses it."""

    def __init__(self, connection: sqlite3.Connection, series: int) -> None:
        self._connection = connection
        self._series = series

    def changes(self) -> int:
        """How many times the series has changed."""
        row: tuple[int] = self._connection.execute(
            "SELECT changes FROM series WHERE id = ?", (self._series,)
        ).fetchone()
        return row[0]

    def kept(self, grain: str, begin_ms: int, end_ms: int, *, skip: bool) -> dict[int, bytes]:
        """The kept pieces by where they begin; see `Tables`."""
        rows = self._connection.execute(
            "SELECT start_ms, data FROM rollups WHERE series = ? AND grain = ? AND skip = ? AND start_ms >= ?"
            " AND start_ms < ?",
            (self._series, grain, skip, begin_ms, end_ms),
        )
        return dict(rows.fetchall())

    def keep(self, grain: str, start_ms: int, data: bytes, *, skip: bool, changes: int) -> None:
        """Keep a piece; see `Tables`."""
        # Where it cannot be kept now it is made again.
        with suppress(sqlite3.Error):
            self._connection.execute(
                "INSERT OR REPLACE INTO rollups (series, grain, skip, start_ms, data)"
                " SELECT id, ?, ?, ?, ? FROM series WHERE id = ? AND changes = ?",
                (grain, skip, start_ms, data, self._series, changes),
            )

    def stored(self, first_ms: int, end_ms: int) -> tuple[dict[int, bytes], list[bytes]]:
        """Blocks, and klines in none; see `Tables`."""
        where = (self._series, first_ms, end_ms)
        self._connection.execute("BEGIN")
        try:
            blocks = self._connection.execute(
                "SELECT start_ms, data FROM blocks WHERE series = ? AND start_ms >= ? AND start_ms < ?", where
            ).fetchall()
            fresh = self._connection.execute(
                "SELECT kline FROM fresh WHERE series = ? AND open_ms >= ? AND open_ms < ? ORDER BY open_ms", where
            ).fetchall()
        finally:
            self._connection.execute("COMMIT")
        return dict(blocks), [data for (data,) in fresh]


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
