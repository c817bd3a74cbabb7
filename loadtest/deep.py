"""A deep archive beside live clients: how long reads of it take, and what they cost the clients (see `beside.py`).

The archive has a year of 1m klines of each symbol, imported from CSV files in the columns of Binance's dumps (four
different years, under as many names as there are symbols). While 1,000 clients follow their tickers, one reader asks
over HTTP for windows of 1,000 klines at random places of random symbols, and one for the days of the year, which are
aggregated from minutes: a symbol's first time is counted apart, because the gateway keeps the days then.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx

from gateway.archive.files import import_file
from gateway.archive.sqlite import SqliteArchive
from gateway.model.interval import MINUTE_MS
from loadtest.beside import Beside, figures
from loadtest.deep_files import FIRST_MS, WINDOW, file_bytes, percentiles, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

_YEARS = 4
"""Different files. Making one takes as long as importing it."""


@dataclass
class _Read:
    """How long each answer took, in seconds."""

    windows_s: list[float] = field(default_factory=list)
    first_days_s: list[float] = field(default_factory=list)
    days_s: list[float] = field(default_factory=list)


async def _make(path: Path, symbols: list[str], days: int) -> float:
    """Import the archive; returns how many seconds that took."""
    archive, took_s = SqliteArchive(path), 0.0
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.csv" for number in range(min(_YEARS, len(symbols)))]
        for number, file in enumerate(files):
            write_csv(file, days, number)
        for number, symbol in enumerate(symbols):
            began_s = time.perf_counter()
            await import_file(archive, files[number % len(files)], (symbol, "1m"), None)
            took_s += time.perf_counter() - began_s
    await archive.aclose()
    return took_s


async def _ask(http: httpx.AsyncClient, wanted: int, **query: str | int) -> float:
    began_s = time.perf_counter()
    answer = await http.get("/v1/klines", params=query)
    took_s = time.perf_counter() - began_s
    assert answer.status_code == 200, answer.text[:200]
    assert answer.text.count('"openTime"') == wanted, query
    return took_s


async def _windows(http: httpx.AsyncClient, symbols: list[str], days: int, read: _Read, pause_s: float) -> None:
    draw = random.Random(1)
    while True:
        start_ms = FIRST_MS + draw.randrange(days * 1440 - WINDOW) * MINUTE_MS
        symbol = draw.choice(symbols)
        took_s = await _ask(http, WINDOW, symbol=symbol, interval="1m", startTime=start_ms, limit=WINDOW)
        read.windows_s.append(took_s)
        await asyncio.sleep(pause_s)


async def _days(http: httpx.AsyncClient, symbols: list[str], days: int, read: _Read, pause_s: float) -> None:
    draw, seen = random.Random(2), set[str]()
    while True:
        symbol = draw.choice(symbols)
        took_s = await _ask(http, days, symbol=symbol, interval="1d", startTime=FIRST_MS, limit=days)
        (read.days_s if symbol in seen else read.first_days_s).append(took_s)
        seen.add(symbol)
        await asyncio.sleep(pause_s)


def _reading(symbols: list[str], days: int, pause_s: float, port: int, pipe: Connection) -> _Read:
    """Both readers, until something comes on the pipe."""

    async def read_on() -> _Read:
        read = _Read()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False) as http:
            readers = (_windows, _days)
            tasks = [asyncio.create_task(reader(http, symbols, days, read, pause_s)) for reader in readers]
            ended = asyncio.create_task(asyncio.to_thread(pipe.poll, None))
            await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return read

    return asyncio.run(read_on())


def _report(read: _Read) -> Iterator[str]:
    for name, times_s in (
        (f"window of {WINDOW:,}", read.windows_s),
        ("a year of 1d, first time", read.first_days_s),
        ("a year of 1d", read.days_s),
    ):
        yield f"{name:<26} {percentiles(times_s)}   of {len(times_s):,}" if times_s else f"{name:<26} none"


@click.command("deep")
@click.option("--symbols", type=click.IntRange(1), default=100, show_default=True)
@click.option("--days", type=click.IntRange(2, 1000), default=366, show_default=True)
@click.option("--seconds", type=click.FloatRange(5), default=60.0, show_default=True, help="Length of each phase.")
@click.option("--pause-ms", type=click.FloatRange(0), default=20.0, show_default=True, help="Between two questions.")
@click.option("--archive", type=click.Path(path_type=Path), help="Kept there, and taken from there the next time.")
@click.option("--verbose", is_flag=True, help="A line each second.")
def command(symbols: int, days: int, seconds: float, pause_ms: float, archive: Path | None, verbose: bool) -> None:
    """Reads of a deep archive beside 1,000 live clients."""
    names = [f"SYM{number:03}USDT" for number in range(symbols)]
    rows = symbols * days * 1440
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder:
        path = archive or Path(folder) / "archive.db"
        click.echo(f"{rows:,} rows: {symbols} symbols, {days} days of 1m")
        if not path.exists():
            took_s = asyncio.run(_make(path, names, days))
            click.echo(f"import {rows / took_s:,.0f} rows/s")
        click.echo(f"on disk {file_bytes(path) / rows:.1f} bytes a row")
        settings: dict[str, dict[str, Any]] = {
            "archive": {"path": str(path)},
            "market": {"intervals": ["1m", "1d"]},
            "limits": {"exempt": ["127.0.0.1"]},
        }
        beside = Beside(settings, partial(_reading, names, days, pause_ms / 1000), quiet=not verbose)
        phases = beside.run("deep", seconds)
    for phase, name in zip(phases, ("alone", "beside reads"), strict=True):
        click.echo(figures(phase, name))
    for text in _report(beside.found):
        click.echo(text)
