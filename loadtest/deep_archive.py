"""The archive beside what one would write first: one SQLite table of float columns.

Both get the same CSV files, a year of random 1m klines a symbol in the columns of Binance's dumps, in batches of
20,000. Then both are asked for windows of 1,000 klines at random places, and for the days of the year, aggregated from
minutes; the archive through the event loop and its threads, the table directly. The table's days have no open and no
close. Times are those of one caller; the files are in the page cache.
"""

from __future__ import annotations

import asyncio
import csv
import math
import random
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.archive.files import import_file
from gateway.archive.sqlite import SqliteArchive
from gateway.model.interval import DAY_MS, INTERVALS, MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_MS = 1_704_067_200_000
_BATCH = 20_000
WINDOW = 1000
_MINUTE, _DAY = INTERVALS["1m"], INTERVALS["1d"]
_TABLE = """
    CREATE TABLE klines (
        symbol TEXT, interval TEXT, open_time INTEGER, open REAL, high REAL, low REAL, close REAL, volume REAL,
        close_time INTEGER, quote_volume REAL, trades INTEGER, taker REAL, taker_quote REAL,
        PRIMARY KEY (symbol, interval, open_time)
    ) WITHOUT ROWID
"""


def write_csv(path: Path, days: int, seed: int) -> int:
    """A random walk with the digits of BTCUSDT; returns how many rows."""
    draw, price = random.Random(seed), 97_000.0
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        for number in range(days * 1440):
            opened, price = price, price * math.exp(draw.gauss(0, 0.0004))
            high, low = max(opened, price) * (1 + draw.random() * 2e-4), min(opened, price) * (1 - draw.random() * 2e-4)
            volume, open_ms = draw.expovariate(0.1), FIRST_MS + number * MINUTE_MS
            taker = volume * draw.random()
            prices = [f"{value:.2f}" for value in (opened, high, low, price)]
            figures = (f"{volume:.5f}", open_ms + MINUTE_MS - 1, f"{volume * price:.7f}", draw.randint(1, 9000))
            writer.writerow([open_ms, *prices, *figures, f"{taker:.5f}", f"{taker * price:.7f}", 0])
    return days * 1440


def _import_naive(connection: sqlite3.Connection, path: Path, symbol: str) -> None:
    with path.open(newline="") as lines:
        batch = []
        for row in csv.reader(lines):
            batch.append((symbol, "1m", int(row[0]), *map(float, row[1:6]), int(row[6]), *map(float, row[7:11])))
            if len(batch) == _BATCH:
                _insert(connection, batch)
                batch = []
        _insert(connection, batch)


def _insert(connection: sqlite3.Connection, batch: list[tuple[object, ...]]) -> None:
    with connection:
        connection.executemany(f"INSERT OR REPLACE INTO klines VALUES ({','.join('?' * 13)})", batch)


def file_bytes(path: Path) -> int:
    """Of a database after all of its log has gone into the file."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def percentiles(times_s: list[float]) -> str:
    ordered = sorted(times_s)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in (0.5, 0.99)]
    return f"p50 {at[0]:7.2f} ms, p99 {at[1]:7.2f} ms"


async def _archive(folder: Path, files: dict[str, Path], rows: int, asked: list[tuple[str, int]]) -> list[str]:
    lines = []
    archive = SqliteArchive(folder / "archive.db")
    began_s = time.perf_counter()
    for symbol, path in files.items():
        await import_file(archive, path, (symbol, "1m"), None)
    lines.append(f"import   {rows / (time.perf_counter() - began_s):10,.0f} rows/s")
    lines.append(f"on disk  {file_bytes(folder / 'archive.db') / rows:10.1f} bytes a row")
    times_s = []
    for symbol, start_ms in asked:
        began_s = time.perf_counter()
        assert len(await archive.read(symbol, "1m", WINDOW, start_ms)) == WINDOW
        times_s.append(time.perf_counter() - began_s)
    lines.append(f"window of {WINDOW}        {percentiles(times_s)}")
    end_ms = FIRST_MS + rows // len(files) * MINUTE_MS
    for name, rounds in (("cold", 1), ("warm", 100)):
        times_s = []
        for symbol in list(files) * rounds:
            began_s = time.perf_counter()
            found = await archive.aggregated(symbol, _MINUTE, _DAY, 366, None, end_ms, skip=False)
            times_s.append(time.perf_counter() - began_s)
            assert found is not None
            assert len(found.klines) == min(366, rows // len(files) // 1440)
        lines.append(f"year of 1d, {name}      {percentiles(times_s)}")
    lines.append(f"on disk, with days kept  {file_bytes(folder / 'archive.db') / rows:.1f} bytes a row")
    await archive.aclose()
    return lines


def _naive(folder: Path, files: dict[str, Path], rows: int, asked: list[tuple[str, int]]) -> Iterator[str]:
    connection = sqlite3.connect(folder / "naive.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(_TABLE)
    began_s = time.perf_counter()
    for symbol, path in files.items():
        _import_naive(connection, path, symbol)
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
        connection.execute(
            "SELECT open_time / ? AS day, max(high), min(low), sum(volume), sum(quote_volume), sum(trades), sum(taker),"
            " sum(taker_quote) FROM klines WHERE symbol = ? AND interval = '1m' GROUP BY day",
            (DAY_MS, symbol),
        ).fetchall()
        times_s.append(time.perf_counter() - began_s)
    yield f"year of 1d, always    {percentiles(times_s)}"
    connection.close()


@click.command("archive")
@click.option("--symbols", type=click.IntRange(1), default=2, show_default=True)
@click.option("--days", type=click.IntRange(2), default=366, show_default=True)
@click.option("--windows", type=click.IntRange(1), default=1000, show_default=True, help="How many are asked for.")
def command(symbols: int, days: int, windows: int) -> None:
    """What the archive costs, beside one SQLite table of float columns."""
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {f"SYM{number:03}USDT": folder / f"{number}.csv" for number in range(symbols)}
        rows = sum(write_csv(path, days, number) for number, path in enumerate(files.values()))
        last = rows // symbols - WINDOW
        asked = [(draw.choice(list(files)), FIRST_MS + draw.randrange(last) * MINUTE_MS) for _ in range(windows)]
        click.echo(f"{rows:,} rows: {symbols} symbols, {days} days of 1m")
        for title, lines in (
            ("archive", asyncio.run(_archive(folder, files, rows, asked))),
            ("one table of floats", _naive(folder, files, rows, asked)),
        ):
            click.echo(title)
            for line in lines:
                click.echo(f"  {line}")
