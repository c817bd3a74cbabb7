"""Reads and writes the tables of a SQLite archive, in a transaction of the caller's."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING

from gateway.archive.blocks import BLOCK_KLINES, block_span, block_start, merged, pack, unpack

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

_open_time = attrgetter("open_time_ms")


def series_id(connection: sqlite3.Connection, symbol: str, interval: str) -> int:
    connection.execute("INSERT OR IGNORE INTO series (symbol, interval) VALUES (?, ?)", (symbol, interval))
    row: tuple[int] = connection.execute(
        "SELECT id FROM series WHERE symbol = ? AND interval = ?", (symbol, interval)
    ).fetchone()
    return row[0]


def known_series(connection: sqlite3.Connection, symbol: str, interval: str) -> int | None:
    row: tuple[int] | None = connection.execute(
        "SELECT id FROM series WHERE symbol = ? AND interval = ?", (symbol, interval)
    ).fetchone()
    return row[0] if row else None


def by_block(
    connection: sqlite3.Connection, series: int, interval: Interval, klines: Sequence[Kline]
) -> tuple[list[Kline], list[Kline]]:
    """Those of a block that is there already, and the others."""
    rows = connection.execute(
        "SELECT start_ms FROM blocks WHERE series = ? AND start_ms BETWEEN ? AND ?",
        (series, block_start(interval, klines[0].open_time_ms), klines[-1].open_time_ms),
    )
    starts_ms = {start_ms for (start_ms,) in rows}
    packed = [kline for kline in klines if block_start(interval, kline.open_time_ms) in starts_ms]
    return packed, [kline for kline in klines if block_start(interval, kline.open_time_ms) not in starts_ms]


def write_fresh(connection: sqlite3.Connection, series: int, klines: Sequence[Kline]) -> int:
    before = connection.total_changes
    connection.executemany(
        "INSERT INTO fresh (series, open_ms, kline) VALUES (?, ?, ?) ON CONFLICT (series, open_ms)"
        " DO UPDATE SET kline = excluded.kline WHERE kline <> excluded.kline",
        [(series, kline.open_time_ms, pack([kline])) for kline in klines],
    )
    return connection.total_changes - before


def pack_over(
    connection: sqlite3.Connection,
    series: int,
    interval: Interval,
    newest_ms: int,
    at_least: int = BLOCK_KLINES // 2,
) -> None:
    """Move the fresh klines of blocks that are over into them."""
    over_ms = block_start(interval, newest_ms)
    rows = connection.execute(
        "SELECT kline FROM fresh WHERE series = ? AND open_ms < ? ORDER BY open_ms", (series, over_ms)
    ).fetchall()
    if len(rows) >= at_least:
        write_blocks(connection, series, interval, [kline for (data,) in rows for kline in unpack(data, interval)])


def write_blocks(connection: sqlite3.Connection, series: int, interval: Interval, klines: Sequence[Kline]) -> int:
    """Write klines, ascending, into their blocks, over what is there and what is fresh."""
    changed = place = 0
    while place < len(klines):
        start_ms = block_start(interval, klines[place].open_time_ms)
        end_ms = start_ms + block_span(interval)
        first, place = place, bisect_left(klines, end_ms, place, key=_open_time)
        some = klines[first:place]
        found = connection.execute(
            "SELECT data FROM blocks WHERE series = ? AND start_ms = ?", (series, start_ms)
        ).fetchone()
        fresh = connection.execute(
            "SELECT kline FROM fresh WHERE series = ? AND open_ms >= ? AND open_ms < ?", (series, start_ms, end_ms)
        ).fetchall()
        before = merged(
            unpack(found[0], interval) if found else (),
            [kline for (data,) in fresh for kline in unpack(data, interval)],
        )
        after = merged(before, some) if before else some
        changed += len(set(after).difference(before)) if before else len(after)
        connection.execute(
            "INSERT OR REPLACE INTO blocks (series, start_ms, first_ms, last_ms, klines, data)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (series, start_ms, after[0].open_time_ms, after[-1].open_time_ms, len(after), pack(after)),
        )
        if fresh:
            connection.execute(
                "DELETE FROM fresh WHERE series = ? AND open_ms >= ? AND open_ms < ?", (series, start_ms, end_ms)
            )
    return changed
