"""The archive beside what one would write first: one table of float columns, in SQLite or on PostgreSQL.

Both get the same CSV files, a year of random 1m klines a symbol in the columns of Binance's dumps, in batches of
20,000. Then both are asked for windows of 1,000 klines at random places, and for the days of the year, aggregated from
minutes; the archive through the event loop and its threads, the table directly. Times are those of one caller; the
files are in the page cache.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.archive.files import import_file
from gateway.archive.postgres import PostgresArchive
from gateway.archive.sqlite import SqliteArchive
from gateway.model.interval import INTERVALS, MINUTE_MS
from loadtest.deep_files import FIRST_MS, WINDOW, file_bytes, percentiles, write_csv
from loadtest.deep_tables import postgres_table, sqlite_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_MINUTE, _DAY = INTERVALS["1m"], INTERVALS["1d"]


async def _in_file(folder: Path, files: dict[str, Path], rows: int, asked: list[tuple[str, int]]) -> list[str]:
    path = folder / "archive.db"

    async def size() -> int:
        return file_bytes(path)

    return await _archive(SqliteArchive(path), size, files, rows, asked)


async def _on_server(url: str, files: dict[str, Path], rows: int, asked: list[tuple[str, int]]) -> list[str]:
    archive = PostgresArchive(url)
    return await _archive(archive, archive.size_bytes, files, rows, asked)


async def _archive(
    archive: SqliteArchive | PostgresArchive,
    size: Callable[[], Awaitable[int]],
    files: dict[str, Path],
    rows: int,
    asked: list[tuple[str, int]],
) -> list[str]:
    lines = []
    began_s = time.perf_counter()
    for symbol, path in files.items():
        await import_file(archive, path, (symbol, "1m"), None)
    lines.append(f"import   {rows / (time.perf_counter() - began_s):10,.0f} rows/s")
    lines.append(f"on disk  {await size() / rows:10.1f} bytes a row")
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
    lines.append(f"on disk, with days kept  {await size() / rows:.1f} bytes a row")
    await archive.aclose()
    return lines


@click.command("archive")
@click.option("--symbols", type=click.IntRange(1), default=2, show_default=True)
@click.option("--days", type=click.IntRange(2), default=366, show_default=True)
@click.option("--windows", type=click.IntRange(1), default=1000, show_default=True, help="How many are asked for.")
@click.option("--postgres", help="URL of a PostgreSQL server's empty database: the same on that, which fills it.")
def command(symbols: int, days: int, windows: int, postgres: str | None) -> None:
    """What the archive costs, beside one table of float columns, in SQLite or on PostgreSQL."""
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {f"SYM{number:03}USDT": folder / f"{number}.csv" for number in range(symbols)}
        rows = sum(write_csv(path, days, number) for number, path in enumerate(files.values()))
        last = rows // symbols - WINDOW
        asked = [(draw.choice(list(files)), FIRST_MS + draw.randrange(last) * MINUTE_MS) for _ in range(windows)]
        click.echo(f"{rows:,} rows: {symbols} symbols, {days} days of 1m")
        if postgres:
            both = (
                ("archive on PostgreSQL", asyncio.run(_on_server(postgres, files, rows, asked))),
                ("one PostgreSQL table of floats", asyncio.run(postgres_table(postgres, files, rows, asked))),
            )
        else:
            both = (
                ("archive", asyncio.run(_in_file(folder, files, rows, asked))),
                ("one table of floats", list(sqlite_table(folder, files, rows, asked))),
            )
        for title, lines in both:
            click.echo(title)
            for line in lines:
                click.echo(f"  {line}")
