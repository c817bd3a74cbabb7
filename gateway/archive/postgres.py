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

from gateway.archive.blocks import BLOCK_KLINES, block_span, block_start, columns, merged, pack, rows_of, unpack
from gateway.archive.engine import ArchiveError, Coverage
from gateway.archive.grains import within
from gateway.archive.postgres_schema import migrate
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

_MANY = 64
"""So many klines of a series at once go into their blocks directly, as an import's do."""

_BLOCKS = 16
"""Blocks that are fetched at once."""

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
                    series = await _locked_series(connection, symbol, name)
                    changed += await _write_series(connection, series, INTERVALS[name], ascending)
        return changed

    async def read(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        """Klines by open time, both ends included; see `Archive`."""
        low_ms = -1 if start_ms is None else start_ms
        high_ms = 1 << 62 if end_ms is None else end_ms
        # One snapshot: a block that is packed meanwhile is seen before or after, never in between.
        async with self._connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            series = await _known_series(connection, symbol, interval)
            if series is None:
                return []
            klines = await _read(connection, series, INTERVALS[interval], limit, (low_ms, high_ms), start_ms is None)
        return klines[-limit:] if start_ms is None else klines[:limit]

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
                " + pg_total_relation_size('archive_fresh'))::bigint"
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


async def _known_series(connection: Any, symbol: str, interval: str, lock: str = "") -> int | None:
    found: int | None = await connection.fetchval(
        f"SELECT id FROM archive_series WHERE symbol = $1 AND interval = $2 {lock}", symbol, interval
    )
    return found


async def _locked_series(connection: Any, symbol: str, interval: str) -> int:
    found = await _known_series(connection, symbol, interval, "FOR UPDATE")
    if found is None:
        await connection.execute(
            "INSERT INTO archive_series (symbol, interval) VALUES ($1, $2) ON CONFLICT DO NOTHING", symbol, interval
        )
        found = await _known_series(connection, symbol, interval, "FOR UPDATE")
    assert found is not None
    return found


async def _read(
    connection: Any, series: int, interval: Interval, limit: int, times_ms: tuple[int, int], newest: bool
) -> list[Kline]:
    low_ms, high_ms = times_ms
    order = "DESC" if newest else "ASC"
    fresh = await connection.fetch(
        f"SELECT kline FROM archive_fresh WHERE series = $1 AND open_ms BETWEEN $2 AND $3"
        f" ORDER BY open_ms {order} LIMIT $4",
        series,
        low_ms,
        high_ms,
        limit,
    )
    blocks = connection.cursor(
        f"SELECT data FROM archive_blocks WHERE series = $1 AND start_ms > $2 AND start_ms <= $3"
        f" ORDER BY start_ms {order}",
        series,
        low_ms - block_span(interval),
        high_ms,
        prefetch=_BLOCKS,
    )
    older: list[Kline] = []
    async for (data,) in blocks:
        # In a thread: a block is a millisecond of work.
        older += await asyncio.to_thread(_rows, data, interval, times_ms)
        if len(older) >= limit:
            break
    return merged(older, [kline for (data,) in fresh for kline in unpack(data, interval)])


def _rows(data: bytes, interval: Interval, times_ms: tuple[int, int]) -> list[Kline]:
    return rows_of(within(columns(data), times_ms[0], times_ms[1] + 1), interval)


async def _write_series(connection: Any, series: int, interval: Interval, ascending: Sequence[Kline]) -> int:
    by_block: dict[int, list[Kline]] = {}
    for kline in ascending:
        by_block.setdefault(block_start(interval, kline.open_time_ms), []).append(kline)
    changed = 0
    if len(ascending) < _MANY:
        rows = await connection.fetch(
            "SELECT start_ms FROM archive_blocks WHERE series = $1 AND start_ms = ANY($2::bigint[])",
            series,
            list(by_block),
        )
        packed = {start_ms for (start_ms,) in rows}
        loose = [kline for start_ms, some in by_block.items() if start_ms not in packed for kline in some]
        changed += await _write_fresh(connection, series, merged((), loose))
        by_block = {start_ms: some for start_ms, some in by_block.items() if start_ms in packed}
        over = await connection.fetch(
            "SELECT open_ms FROM archive_fresh WHERE series = $1 AND open_ms < $2",
            series,
            block_start(interval, ascending[-1].open_time_ms),
        )
        for (open_ms,) in over if len(over) >= BLOCK_KLINES // 2 else ():
            by_block.setdefault(block_start(interval, open_ms), [])
    for start_ms, some in by_block.items():
        changed += await _write_block(connection, series, interval, start_ms, some)
    return changed


async def _write_fresh(connection: Any, series: int, klines: Sequence[Kline]) -> int:
    if not klines:
        return 0
    done: str = await connection.execute(
        "INSERT INTO archive_fresh AS old (series, open_ms, kline)"
        " SELECT $1, open_ms, kline FROM unnest($2::bigint[], $3::bytea[]) AS new (open_ms, kline)"
        " ON CONFLICT (series, open_ms) DO UPDATE SET kline = excluded.kline WHERE old.kline <> excluded.kline",
        series,
        [kline.open_time_ms for kline in klines],
        [pack([kline]) for kline in klines],
    )
    return int(done.split()[-1])


async def _write_block(connection: Any, series: int, interval: Interval, start_ms: int, some: Sequence[Kline]) -> int:
    """Write klines into their block, over what is there and what is fresh."""
    found = await connection.fetchval(
        "SELECT data FROM archive_blocks WHERE series = $1 AND start_ms = $2", series, start_ms
    )
    fresh = await connection.fetch(
        "DELETE FROM archive_fresh WHERE series = $1 AND open_ms >= $2 AND open_ms < $3 RETURNING kline",
        series,
        start_ms,
        start_ms + block_span(interval),
    )

    def made() -> tuple[list[Kline], bytes, int]:
        loose = [kline for (data,) in fresh for kline in unpack(data, interval)]
        before = merged(unpack(found, interval) if found else (), loose)
        after = merged(before, some)
        return after, pack(after), len(set(after).difference(before))

    after, data, changed = await asyncio.to_thread(made)
    await connection.execute(
        "INSERT INTO archive_blocks (series, start_ms, first_ms, last_ms, klines, data) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (series, start_ms) DO UPDATE SET first_ms = excluded.first_ms, last_ms = excluded.last_ms,"
        " klines = excluded.klines, data = excluded.data",
        series,
        start_ms,
        after[0].open_time_ms,
        after[-1].open_time_ms,
        len(after),
        data,
    )
    return changed
