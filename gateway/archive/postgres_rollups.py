"""The parts and the rollups of a series in a PostgreSQL archive: what `Rollups` reads and keeps.

`Rollups` works in a thread, where its milliseconds of work a block keep nobody waiting; the connections belong to the
event loop, which is asked from there.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.archive.engine import ArchiveError
from gateway.archive.grains import CHUNK_MS
from gateway.archive.rollups import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

Answer = TypeVar("Answer")


class PostgresTables:
    """`Tables` of one series, to be used from a thread that is not the event loop's."""

    def __init__(
        self, connection: Callable[[], AbstractAsyncContextManager[Any]], series: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        """`connection`: one of the pool, for one call."""
        self._connection = connection
        self._series = series
        self._loop = loop

    def changes(self) -> int:
        """How many times the series has changed."""
        rows = self._wait(self._fetch("SELECT changes FROM archive_series WHERE id = $1", self._series))
        return int(rows[0][0])

    def kept(self, grain: str, begin_ms: int, end_ms: int, *, skip: bool) -> dict[int, bytes]:
        """The kept pieces by where they begin; see `Tables`."""
        rows = self._fetch(
            "SELECT start_ms, data FROM archive_rollups WHERE series = $1 AND grain = $2 AND skip = $3"
            " AND start_ms >= $4 AND start_ms < $5",
            *(self._series, grain, skip, begin_ms, end_ms),
        )
        return dict(self._wait(rows))

    def keep(self, grain: str, start_ms: int, data: bytes, *, skip: bool, changes: int) -> None:
        """Keep a piece; see `Tables`."""
        # A lock on the row: who changes the series waits for this, or this sees the change.
        rows = self._fetch(
            "INSERT INTO archive_rollups (series, grain, skip, start_ms, data)"
            " SELECT id, $1, $2, $3, $4 FROM archive_series WHERE id = $5 AND changes = $6 FOR SHARE"
            " ON CONFLICT (series, grain, skip, start_ms) DO UPDATE SET data = excluded.data",
            *(grain, skip, start_ms, data, self._series, changes),
        )
        # Where it cannot be kept now it is made again.
        with suppress(ArchiveError):
            self._wait(rows)

    def stored(self, first_ms: int, end_ms: int) -> tuple[dict[int, bytes], list[bytes]]:
        """Blocks, and klines in none; see `Tables`."""
        return self._wait(self._stored(first_ms, end_ms))

    async def _stored(self, first_ms: int, end_ms: int) -> tuple[dict[int, bytes], list[bytes]]:
        where = (self._series, first_ms, end_ms)
        # One snapshot: a block that is packed meanwhile is seen before or after, never in between.
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            blocks = await connection.fetch(
                "SELECT start_ms, data FROM archive_blocks WHERE series = $1 AND start_ms >= $2 AND start_ms < $3",
                *where,
            )
            fresh = await connection.fetch(
                "SELECT kline FROM archive_fresh WHERE series = $1 AND open_ms >= $2 AND open_ms < $3 ORDER BY open_ms",
                *where,
            )
        return dict(blocks), [data for (data,) in fresh]

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        async with self._connection() as connection:
            rows: list[Any] = await connection.fetch(statement, *values)
            return rows

    def _wait(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def drop_rollups(connection: Any, series: int, first_ms: int, last_ms: int) -> None:
    """Call when klines that open between the two times, both included, have changed, in the same transaction."""
    await connection.execute("UPDATE archive_series SET changes = changes + 1 WHERE id = $1", series)
    for grain, span_ms in CHUNK_MS.items():
        await connection.execute(
            "DELETE FROM archive_rollups WHERE series = $1 AND grain = $2 AND start_ms > $3 AND start_ms <= $4",
            *(series, grain, first_ms - span_ms, last_ms),
        )


async def bounds(connection: Any, series: int) -> Bounds | None:
    """What there is of a series; `None`: nothing."""
    first_ms, last_ms = await connection.fetchrow(
        "SELECT min(first_ms), max(last_ms) FROM ("
        " SELECT first_ms, last_ms FROM archive_blocks WHERE series = $1"
        " UNION ALL SELECT open_ms, open_ms FROM archive_fresh WHERE series = $1) AS stored",
        series,
    )
    return None if first_ms is None else Bounds(first_ms, last_ms)
