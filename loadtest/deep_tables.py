"""What one would write first for past klines: one table of float columns, in SQLite and on PostgreSQL.

Its days have no open and no close: those cost a query of their own.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

from gateway.model.interval import DAY_MS
from loadtest.deep_files import WINDOW, batches, file_bytes, percentiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TABLE = """
    CREATE TABLE klines (
        symbol TEXT, interval TEXT, open_time INTEGER, open REAL, high REAL, low REAL, close REAL, volume REAL,
        close_time INTEGER, quote_volume REAL, trades INTEGER, taker REAL, taker_quote REAL,
        PRIMARY KEY (symbol, interval, open_time)
    ) WITHOUT ROWID
"""

_SERVER_TABLE = """
    CREATE TABLE plain_klines (
        symbol TEXT, interval TEXT, open_time BIGINT, open DOUBLE PRECISION, high DOUBLE PRECISION,
        low DOUBLE PRECISION, close DOUBLE PRECISION, volume DOUBLE PRECISION, close_time BIGINT,
        quote_volume DOUBLE PRECISION, trades BIGINT, taker DOUBLE PRECISION, taker_quote DOUBLE PRECISION,
        PRIMARY KEY (symbol, interval, open_time)
    )
"""
_DAYS = (
    "SELECT open_time / {length} AS day, max(high), min(low), sum(volume), sum(quote_volume), sum(trades), sum(taker),"
    " sum(taker_quote) FROM {table} WHERE symbol = {symbol} AND interval = '1m' GROUP BY day"
)


def _insert(connection: sqlite3.Connection, batch: list[tuple[object, ...]]) -> None:
    with connection:
        connection.executemany(f"INSERT OR REPLACE INTO klines VALUES ({','.join('?' * 13)})", batch)


def sqlite_table(folder: Path, files: dict[str, Path], rows: int, asked: list[tuple[str, int]]) -> Iterator[str]:
    """What it costs, a line for each figure."""
    connection = sqlite3.connect(folder / "naive.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(_TABLE)
    began_s = time.perf_counter()
    for symbol, path in files.items():
        for batch in batches(path, symbol):
            _insert(connection, batch)
    yield f"import   {rows / (time.perf_counter() - began_s):10,.0f} rows/s"
    yield f"on disk  {file_bytes(folder / 'naive.db') / rows:10.1f} bytes a row"
    times_s = []
    for symbol, start_ms in asked:
        began_s = time.perf_counter()
        found = connection.execute(
            "SELECT * FROM klines WHERE symbol = ? AND interval = '1m' AND open_time >= ? ORDER BY open_time LIMIT ?",
            (symbol, start_ms, WINDOW),
        ).fetchall()
        times_s.append(time.perf_counter() - began_s)
        assert len(found) == WINDOW
    yield f"window of {WINDOW}        {percentiles(times_s)}"
    times_s = []
    for symbol in list(files) * 10:
        began_s = time.perf_counter()
        connection.execute(_DAYS.format(length=DAY_MS, table="klines", symbol="?"), (symbol,)).fetchall()
        times_s.append(time.perf_counter() - began_s)
    yield f"year of 1d, always    {percentiles(times_s)}"
    connection.close()


async def postgres_table(url: str, files: dict[str, Path], rows: int, asked: list[tuple[str, int]]) -> list[str]:
    """The same on a server, filled by COPY."""
    import asyncpg

    connection: Any = await asyncpg.connect(url)
    await connection.execute(_SERVER_TABLE)
    began_s = time.perf_counter()
    for symbol, path in files.items():
        for batch in batches(path, symbol):
            counted = [(*row[:10], int(row[10]), *row[11:]) for row in batch]  # type: ignore[call-overload]
            await connection.copy_records_to_table("plain_klines", records=counted)
    lines = [f"import   {rows / (time.perf_counter() - began_s):10,.0f} rows/s"]
    await connection.execute("VACUUM ANALYZE plain_klines")
    size_bytes = await connection.fetchval("SELECT pg_total_relation_size('plain_klines')")
    lines.append(f"on disk  {size_bytes / rows:10.1f} bytes a row")
    times_s = []
    window = "SELECT * FROM plain_klines WHERE symbol = $1 AND interval = '1m' AND open_time >= $2 ORDER BY open_time"
    for symbol, start_ms in asked:
        began_s = time.perf_counter()
        found = await connection.fetch(f"{window} LIMIT {WINDOW}", symbol, start_ms)
        times_s.append(time.perf_counter() - began_s)
        assert len(found) == WINDOW
    lines.append(f"window of {WINDOW}        {percentiles(times_s)}")
    times_s = []
    for symbol in list(files) * 10:
        began_s = time.perf_counter()
        await connection.fetch(_DAYS.format(length=DAY_MS, table="plain_klines", symbol="$1"), symbol)
        times_s.append(time.perf_counter() - began_s)
    lines.append(f"year of 1d, always    {percentiles(times_s)}")
    await connection.close()
    return lines
