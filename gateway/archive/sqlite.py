"""An archive in one file: SQLite in WAL mode, one writer and any number of readers, in any process.

New klines go into the table `fresh`, a row each; once the block that they belong to is over they are packed into it
(`blocks`). A reader sees both. Every call runs in a thread, so that the event loop never waits for a disk. A process
that is killed in the middle of writing leaves the file as it was before.

DuckDB was tried beside it: its file opens for one process only while that one writes, so that several workers could not
read it.
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, TypeVar

from gateway.archive.blocks import (
    DamagedBlock,
    block_span,
    columns,
    merged,
    rows_of,
    unpack,
)
from gateway.archive.engine import ArchiveError, Coverage
from gateway.archive.grains import within
from gateway.archive.making import Asked, Making
from gateway.archive.rollups import Aggregated, Rollups
from gateway.archive.schema import migrate
from gateway.archive.sqlite_rollups import SqliteTables, bounds, drop_before, drop_rollups
from gateway.archive.tables import by_block, known_series, pack_over, series_id, write_blocks, write_fresh
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.archive.engine import SeriesName
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

T = TypeVar("T")

_READERS = 2

_BUSY_S = 5.0
"""How long one writer waits for another one."""

_MANY = 64
"""So many klines of a series at once go into their blocks directly, as an import's do."""


class SqliteArchive:
    """An `Archive`. Opens the file when it is first used."""

    def __init__(self, path: Path) -> None:
        """`path`: the file, made if there is none."""
        self._path = path
        self._writer = ThreadPoolExecutor(1, "archive-writer")
        self._readers = ThreadPoolExecutor(_READERS, "archive-reader")
        # What may take long the first time delays no other read.
        self._aggregator = ThreadPoolExecutor(1, "archive-aggregator")
        self._making = Making(path)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock: IO[bytes] | None = None

    async def lead(self) -> bool:
        """Become the one process that writes, unless another one is; it stays so until it ends."""
        return await self._run(self._writer, self._lead)

    async def write(self, klines: Mapping[SeriesName, Sequence[Kline]]) -> int:
        """Write closed klines, each series ascending; returns how many were new or changed."""
        return await self._run(self._writer, partial(self._write, klines))

    async def read(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        """Klines by open time, both ends included; see `Archive`."""
        return await self._run(self._readers, partial(self._read, symbol, interval, limit, start_ms, end_ms))

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
        """Longer klines, made of those of `part` before `end_ms`; see `Rollups`. `None`: there are none."""
        asked = Asked(symbol, part.name, whole.name, limit, start_ms, end_ms, skip)
        await self._making.make(asked, lambda: self._run(self._readers, partial(self._unmade, asked)))
        return await self.aggregated_here(asked)

    async def aggregated_here(self, asked: Asked) -> Aggregated | None:
        """The same, without another process."""
        return await self._run(self._aggregator, partial(self._aggregated, asked))

    async def prune(self, interval: str, before_ms: int) -> int:
        """Drop whole blocks of klines that open before that time, of all symbols; returns how many klines."""
        return await self._run(self._writer, partial(self._prune, interval, before_ms))

    async def compact(self) -> None:
        """Pack all that can be packed, and make the file as small as it gets."""
        await self._run(self._writer, self._compact)

    async def coverage(self) -> Mapping[SeriesName, Coverage]:
        """What there is of each series."""
        return await self._run(self._readers, self._coverage)

    async def last(self, symbol: str, interval: str) -> int | None:
        """Open time of the newest kline of a series."""
        newest = await self.read(symbol, interval, 1)
        return newest[0].open_time_ms if newest else None

    async def has_symbol(self, symbol: str) -> bool:
        """Whether there is any kline of the symbol."""
        return await self._run(self._readers, partial(self._has_symbol, symbol))

    async def size_bytes(self) -> int:
        """Bytes on disk, those that are not in the main file yet included."""
        return await asyncio.to_thread(self._size_bytes)

    async def aclose(self) -> None:
        """Finish what is being written, and close."""
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        await asyncio.to_thread(self._aggregator.shutdown)
        for connection in self._connections:
            connection.close()
        if self._lock is not None:
            self._lock.close()

    def _lead(self) -> bool:
        if self._lock is None:
            # The kernel drops the lock when the process ends, however it ends.
            lock = self._path.with_name(f"{self._path.name}.lock").open("wb")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    def _size_bytes(self) -> int:
        files = [self._path, self._path.with_name(f"{self._path.name}-wal")]
        return sum(file.stat().st_size for file in files if file.exists())

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except (sqlite3.Error, OSError, DamagedBlock) as error:
            raise ArchiveError(f"{self._path}: {error}") from error

    @property
    def _connection(self) -> sqlite3.Connection:
        """The connection of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # Closed by another thread, once this one has ended.
            connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            migrate(connection)
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _write(self, klines: Mapping[SeriesName, Sequence[Kline]]) -> int:
        changed = 0
        with self._transaction() as connection:
            for (symbol, name), ascending in klines.items():
                if ascending:
                    series, interval = series_id(connection, symbol, name), INTERVALS[name]
                    packed, new = ascending, 0
                    if len(ascending) < _MANY:
                        packed, unpacked = by_block(connection, series, interval, ascending)
                        new = write_fresh(connection, series, unpacked)
                        pack_over(connection, series, interval, ascending[-1].open_time_ms)
                    new += write_blocks(connection, series, interval, packed)
                    if new:
                        drop_rollups(connection, series, ascending[0].open_time_ms, ascending[-1].open_time_ms)
                    changed += new
        return changed

    def _read(self, symbol: str, name: str, limit: int, start_ms: int | None, end_ms: int | None) -> list[Kline]:
        connection, interval = self._connection, INTERVALS[name]
        series = known_series(connection, symbol, name)
        if series is None:
            return []
        low_ms = -1 if start_ms is None else start_ms
        high_ms = 1 << 62 if end_ms is None else end_ms
        order = "DESC" if start_ms is None else "ASC"
        # One read transaction: a block that is packed meanwhile is seen before or after, never in between.
        connection.execute("BEGIN")
        try:
            fresh = connection.execute(
                f"SELECT kline FROM fresh WHERE series = ? AND open_ms BETWEEN ? AND ?"
                f" ORDER BY open_ms {order} LIMIT ?",
                (series, low_ms, high_ms, limit),
            ).fetchall()
            newer = [kline for (text,) in fresh for kline in unpack(text, interval)]
            blocks = connection.execute(
                f"SELECT data FROM blocks WHERE series = ? AND start_ms > ? AND start_ms <= ?"
                f" ORDER BY start_ms {order}",
                (series, low_ms - block_span(interval), high_ms),
            )
            older: list[Kline] = []
            for (data,) in blocks:
                some = rows_of(within(columns(data), low_ms, high_ms + 1), interval)
                older = some + older if start_ms is None else older + some
                if len(older) >= limit:
                    break
        finally:
            connection.execute("COMMIT")
        klines = merged(older, newer)
        return klines[-limit:] if start_ms is None else klines[:limit]

    def _prune(self, name: str, before_ms: int) -> int:
        with self._transaction() as connection:
            return drop_before(connection, INTERVALS[name], before_ms)

    def _compact(self) -> None:
        with self._transaction() as connection:
            for series, name in connection.execute("SELECT id, interval FROM series").fetchall():
                newest = bounds(connection, series)
                if newest is not None:
                    pack_over(connection, series, INTERVALS[name], newest.last_ms, at_least=1)
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _aggregated(self, asked: Asked) -> Aggregated | None:
        rollups = self._rollups(asked)
        if rollups is None:
            return None
        return rollups.aggregated(INTERVALS[asked.whole], asked.limit, asked.start_ms, asked.end_ms)

    def _unmade(self, asked: Asked) -> int:
        rollups = self._rollups(asked)
        return rollups.unmade(INTERVALS[asked.whole], asked.limit, asked.start_ms, asked.end_ms) if rollups else 0

    def _rollups(self, asked: Asked) -> Rollups | None:
        connection = self._connection
        series = known_series(connection, asked.symbol, asked.part)
        known = None if series is None else bounds(connection, series)
        if series is None or known is None:
            return None
        return Rollups(SqliteTables(connection, series), INTERVALS[asked.part], known, skip=asked.skip)

    def _has_symbol(self, symbol: str) -> bool:
        found = self._connection.execute("SELECT 1 FROM series WHERE symbol = ? LIMIT 1", (symbol,)).fetchone()
        return found is not None

    def _coverage(self) -> Mapping[SeriesName, Coverage]:
        rows = self._connection.execute(
            "SELECT symbol, interval, min(first_ms), max(last_ms), sum(klines) FROM ("
            " SELECT series, first_ms, last_ms, klines FROM blocks"
            " UNION ALL SELECT series, open_ms, open_ms, 1 FROM fresh"
            ") JOIN series ON series.id = series GROUP BY series"
        )
        return {(symbol, interval): Coverage(first, last, count) for symbol, interval, first, last, count in rows}
