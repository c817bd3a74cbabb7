"""An archive on a PostgreSQL server: the same packed blocks as in a file, for gateways on several machines.

New klines go into the table `archive_fresh`, a row each; once the block that they belong to is over they are packed
into it (`blocks`). Who writes a series holds the lock of its row until the end of the transaction, so that two writers
at once lose nothing. A server that is away is an `ArchiveError`, at once where it was away a moment ago.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from gateway.archive.blocks import block_start
from gateway.archive.engine import ArchiveError, Coverage
from gateway.archive.postgres_rollups import PostgresTables, bounds, drop_rollups
from gateway.archive.postgres_schema import migrate
from gateway.archive.postgres_tables import known_series, locked_series, read_series, write_series
from gateway.archive.rollups import Aggregated, Rollups
from gateway.config import mask_url
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from gateway.archive.engine import SeriesName
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

_CONNECTIONS = 4

_CONNECT_S = 5.0
"""How long a connection may take to be made."""

_COMMAND_S = 30.0
"""How long a statement may take, waiting for another writer included."""

_RETRY_S = 1.0
"""So long after a connection could not be made nobody tries again."""

_AGGREGATING = 2
"""Requests at a time for which longer klines are made: each takes a thread, and others need threads too."""

# Name of an advisory lock, which each database has for itself.
_LEADER = 0x6B6C696E6501


class PostgresArchive:
    """An `Archive`. Connects when it is first used."""

    def __init__(self, url: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        """`url`: `postgresql://user:password@host/database`."""
        self._driver: Any = None
        self._failures: tuple[type[Exception], ...] = ()
        self._url = url
        self._clock_s = clock_s
        self._pool: Any = None
        self._leader: Any = None
        self._failed: tuple[float, str] | None = None
        self._aggregating = asyncio.Semaphore(_AGGREGATING)

    async def lead(self) -> bool:
        """Become the one process that writes, unless another one is; it stays so until it ends or loses the server."""
        if self._leader is not None and not self._leader.is_closed():
            return True
        async with self._errors():
            connection = await self._connect()
            try:
                leads: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER)
            except BaseException:
                connection.terminate()
                raise
            if not leads:
                await connection.close(timeout=_CONNECT_S)
                return False
            self._leader = connection
            return True

    async def write(self, klines: Mapping[SeriesName, Sequence[Kline]]) -> int:
        """Write closed klines, each series ascending; returns how many were new or changed."""
        changed = 0
        async with self._connection() as connection, connection.transaction():
            # In one order, so that no two writers wait for each other.
            for symbol, name in sorted(klines):
                if ascending := klines[symbol, name]:
                    series = await locked_series(connection, symbol, name)
                    new = await write_series(connection, series, INTERVALS[name], ascending)
                    if new:
                        await drop_rollups(connection, series, ascending[0].open_time_ms, ascending[-1].open_time_ms)
                    changed += new
        return changed

    async def read(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        """Klines by open time, both ends included; see `Archive`."""
        low_ms = -1 if start_ms is None else start_ms
        high_ms = 1 << 62 if end_ms is None else end_ms
        # One snapshot: a block that is packed meanwhile is seen before or after, never in between.
        async with self._connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            series = await known_series(connection, symbol, interval)
            if series is None:
                return []
            times_ms = (low_ms, high_ms)
            klines = await read_series(connection, series, INTERVALS[interval], limit, times_ms, start_ms is None)
        return klines[-limit:] if start_ms is None else klines[:limit]

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
        async with self._connection() as connection:
            series = await known_series(connection, symbol, part.name)
            known = None if series is None else await bounds(connection, series)
        if series is None or known is None:
            return None
        tables = PostgresTables(self._connection, series, asyncio.get_running_loop())

        def work() -> Aggregated:
            return Rollups(tables, part, known, skip=skip).aggregated(whole, limit, start_ms, end_ms)

        async with self._aggregating:
            return await asyncio.to_thread(work)

    async def prune(self, interval: str, before_ms: int) -> int:
        """Drop whole blocks of klines that open before that time, of all symbols; returns how many klines."""
        end_ms = block_start(INTERVALS[interval], before_ms)
        dropped = 0
        async with self._connection() as connection, connection.transaction():
            for table, time, klines in (("archive_blocks", "start_ms", "klines"), ("archive_fresh", "open_ms", "1")):
                dropped += await connection.fetchval(
                    f"WITH gone AS (DELETE FROM {table} USING archive_series WHERE id = series AND interval = $1"
                    f" AND {time} < $2 RETURNING {klines} AS klines) SELECT coalesce(sum(klines), 0)::bigint FROM gone",
                    interval,
                    end_ms,
                )
            if dropped:
                for (series,) in await connection.fetch("SELECT id FROM archive_series WHERE interval = $1", interval):
                    await drop_rollups(connection, series, 0, end_ms - 1)
        return dropped

    async def coverage(self) -> Mapping[SeriesName, Coverage]:
        """What there is of each series."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT symbol, interval, min(first_ms), max(last_ms), sum(klines)::bigint FROM ("
                " SELECT series, first_ms, last_ms, klines FROM archive_blocks"
                " UNION ALL SELECT series, open_ms, open_ms, 1 FROM archive_fresh"
                ") AS stored JOIN archive_series ON id = series GROUP BY symbol, interval"
            )
        return {(symbol, interval): Coverage(first, last, count) for symbol, interval, first, last, count in rows}

    async def last(self, symbol: str, interval: str) -> int | None:
        """Open time of the newest kline of a series."""
        newest = await self.read(symbol, interval, 1)
        return newest[0].open_time_ms if newest else None

    async def has_symbol(self, symbol: str) -> bool:
        """Whether there is any kline of the symbol."""
        async with self._connection() as connection:
            found = await connection.fetchval("SELECT 1 FROM archive_series WHERE symbol = $1 LIMIT 1", symbol)
        return found is not None

    async def size_bytes(self) -> int:
        """Bytes on the server's disk."""
        async with self._connection() as connection:
            size: int = await connection.fetchval(
                "SELECT (pg_total_relation_size('archive_series') + pg_total_relation_size('archive_blocks')"
                " + pg_total_relation_size('archive_fresh') + pg_total_relation_size('archive_rollups'))::bigint"
            )
        return size

    async def aclose(self) -> None:
        """Finish what is being written, and close."""
        if self._leader is not None:
            self._leader.terminate()
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), _CONNECT_S)
            except TimeoutError:
                self._pool.terminate()

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        if self._driver is None:
            try:
                import asyncpg
            except ImportError as error:
                raise ArchiveError("archive.url needs asyncpg: pip install kline-gateway[archive]") from error
            self._driver = asyncpg
            # The driver's own state may be broken too, where a server ends in the middle of an answer.
            driver_errors = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
            self._failures = (*driver_errors, OSError, TimeoutError)
        try:
            yield
        except self._failures as error:
            raise ArchiveError(f"{mask_url(self._url)}: {str(error) or 'no answer in time'}") from error

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """One of the pool, for one call."""
        async with self._errors():
            if self._pool is None:
                self._pool = self._driver.create_pool(
                    min_size=0, max_size=_CONNECTIONS, connect=self._connect, init=migrate, command_timeout=_COMMAND_S
                )
                await self._pool
            async with self._pool.acquire(timeout=_COMMAND_S) as connection:
                yield connection

    async def _connect(self, *_: object, **settings: Any) -> Any:
        if self._failed and self._clock_s() < self._failed[0] + _RETRY_S:
            raise ArchiveError(self._failed[1])
        # The limit of time is below, for the connection of the leader too.
        settings.pop("command_timeout", None)
        try:
            connection = await self._driver.connect(
                self._url, timeout=_CONNECT_S, command_timeout=_COMMAND_S, **settings
            )
        except self._failures as error:
            self._failed = self._clock_s(), f"{mask_url(self._url)}: {str(error) or 'no answer in time'}"
            raise
        self._failed = None
        return connection
