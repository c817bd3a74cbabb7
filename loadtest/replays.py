"""What replays cost live clients (see `beside.py`).

So many replays play an archive at 1,000 times its pace: each a symbol's minutes, hours and ticker, from a day ago on,
again and again. The archive is made for the run. A replay waits for its reader.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.archive.sqlite import SqliteArchive
from gateway.model.interval import DAY_MS, MINUTE_MS
from gateway.model.kline import Kline
from loadtest.beside import Beside, figures

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from loadtest.report.result import PhaseResult

SPEED = 1000
SYMBOLS = [f"R{number}USDT" for number in range(10)]
DAYS = 3


@dataclass
class _Totals:
    """What the replays were told."""

    closed: int = 0
    messages: int = 0
    received_bytes: int = 0
    market_s: float = 0.0
    """Market time that has passed in all of them."""


async def _make_archive(path: Path) -> None:
    archive, draw = SqliteArchive(path), random.Random(1)
    first_ms = (time.time_ns() // 1_000_000 - DAYS * DAY_MS) // MINUTE_MS * MINUTE_MS
    for symbol in SYMBOLS:
        price, klines = 10_000, []
        for number in range(DAYS * 1440):
            cents = [price := max(100, price + draw.randint(-9, 9)) for _ in range(4)]
            texts = [f"{value / 100:.2f}" for value in (cents[0], max(cents), min(cents), cents[-1])]
            open_ms = first_ms + number * MINUTE_MS
            figures = (f"{draw.randint(1, 99)}.50", f"{draw.randint(1, 9999)}.25", draw.randint(1, 999))
            values = (open_ms, open_ms + MINUTE_MS - 1, *texts, *figures, "0", "0", -1, -1, True, False, 0)
            klines.append(Kline._make(values))
        await archive.write({(symbol, "1m"): klines})
    await archive.aclose()


async def _replay(port: int, number: int, totals: _Totals) -> None:
    """Follow one replay after the other."""
    symbol = SYMBOLS[number % len(SYMBOLS)]
    channels = [f"kline:{symbol}:1m", f"kline:{symbol}:1h", f"ticker:{symbol}"]
    while True:
        from_ms = time.time_ns() // 1_000_000 - DAY_MS
        url = f"ws://127.0.0.1:{port}/replay/{from_ms}/{SPEED}x/v1/stream"
        try:
            async with connect(url, compression=None, proxy=None, max_size=1 << 24) as stream:
                await stream.send(json.dumps({"op": "subscribe", "channels": channels}))
                before_ms = 0
                async for text in stream:
                    totals.messages += 1
                    totals.received_bytes += len(text)
                    message = json.loads(text)
                    if message["op"] == "update":
                        totals.closed += sum("isClosed" in news and news["isClosed"] for _, news in message["u"])
                        totals.market_s += (message["t"] - (before_ms or message["t"])) / 1000
                        before_ms = message["t"]
        except ConnectionClosed:
            continue


def _follow(replays: int, port: int, pipe: Connection) -> _Totals:
    """Follow so many replays until something comes on the pipe; returns what they were told."""

    async def follow() -> _Totals:
        totals = _Totals()
        tasks = [asyncio.create_task(_replay(port, number, totals)) for number in range(replays)]
        await asyncio.to_thread(pipe.poll, None)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return totals

    return asyncio.run(follow())


def measure(replays: int, seconds: float, *, quiet: bool) -> list[PhaseResult]:
    """Run it once; prints the figures, and returns the phases alone and beside replays."""
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder:
        path = Path(folder) / "archive.db"
        asyncio.run(_make_archive(path))
        limits = {"max_sessions": replays, "sessions_per_ip": replays}
        settings: dict[str, dict[str, Any]] = {
            "archive": {"path": str(path)},
            "replay": limits,
            "market": {"intervals": ["1m", "1h"]},
        }
        beside = Beside(settings, partial(_follow, replays), quiet=quiet)
        phases = beside.run("replays", seconds)
    for phase, name in zip(phases, ("alone", "beside replays"), strict=True):
        click.echo(figures(phase, name))
    told: _Totals = beside.found
    cpu_s = beside.metrics.get("gateway_replay_cpu_seconds_total", 0.0)
    click.echo(
        f"{replays} replays        {told.closed / beside.seconds:,.0f} closed klines/s, "
        f"{told.messages / beside.seconds:,.0f} messages/s, {told.received_bytes / beside.seconds / 1000:,.0f} KB/s; "
        f"each {told.market_s / beside.seconds / replays:,.0f} times as fast as it happened; "
        f"{cpu_s / beside.seconds * 100:.1f} % of a core in turns"
    )
    return phases


@click.command("replays")
@click.option("--replays", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--seconds", type=click.FloatRange(5), default=30.0, show_default=True, help="Length of each phase.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--verbose", is_flag=True, help="A line each second.")
def command(replays: int, seconds: float, rounds: int, verbose: bool) -> None:
    """What replays at 1,000 times their pace cost 1,000 live clients."""
    found = [measure(replays, seconds, quiet=not verbose) for _ in range(rounds)]
    if rounds > 1:
        medians = [statistics.median(phases[place].ages_ms["ticker"]["p99"] for phases in found) for place in (0, 1)]
        click.echo(f"median of {rounds}: ticker p99 {medians[0]:.1f} ms alone, {medians[1]:.1f} ms beside replays")
