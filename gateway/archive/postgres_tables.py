"""The tables of series, blocks and fresh klines in a PostgreSQL archive: how klines get into them and out again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.archive.blocks import BLOCK_KLINES, block_span, block_start, columns, merged, pack, rows_of, unpack
from gateway.archive.grains import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

_MANY = 64
"""So many klines of a series at once go into their blocks directly, as an import's do."""

_BLOCKS = 16
"""Blocks that are fetched at once."""


async def known_series(connection: Any, symbol: str, interval: str, lock: str = "") -> int | None:
    found: int | None = await connection.fetchval(
        f"SELECT id FROM archive_series WHERE symbol = $1 AND interval = $2 {lock}", symbol, interval
    )
    return found


async def locked_series(connection: Any, symbol: str, interval: str) -> int:
    found = await known_series(connection, symbol, interval, "FOR UPDATE")
    if found is None:
        await connection.execute(
            "INSERT INTO archive_series (symbol, interval) VALUES ($1, $2) ON CONFLICT DO NOTHING", symbol, interval
        )
        found = await known_series(connection, symbol, interval, "FOR UPDATE")
    assert found is not None
    return found


async def read_series(
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


async def write_series(connection: Any, series: int, interval: Interval, ascending: Sequence[Kline]) -> int:
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
