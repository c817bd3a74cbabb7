"""What replays cost live clients: the scenario `mission`, first alone and then with replays beside it.

1,000 clients follow 100 tickers each while so many replays play an archive at 1,000 times its pace: each a symbol's
minutes, hours and ticker, from a day ago on, again and again. The archive is made for the run. The replays are read in
a process of lower priority on the harness's cores: a replay waits for its reader.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.archive.sqlite import SqliteArchive
from gateway.model.interval import DAY_MS, MINUTE_MS
from gateway.model.kline import Kline
from loadtest.gateway_process import Gateway
from loadtest.report.terminal import line
from loadtest.run import DRAIN, Options, Run
from loadtest.scenario import Phase, load

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from loadtest.report.result import PhaseResult
    from loadtest.tested_server import Certificate, TestedServer

ALONE, BESIDE = "alone", "beside replays"
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


def _follow(port: int, replays: int, pipe: Connection) -> None:
    """The process of those who follow replays; sends what they were told when it is asked to end."""
    os.nice(5)

    async def follow() -> _Totals:
        totals = _Totals()
        tasks = [asyncio.create_task(_replay(port, number, totals)) for number in range(replays)]
        await asyncio.to_thread(pipe.poll, None)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return totals

    pipe.send(asyncio.run(follow()))


class _Beside:
    """Has replays followed while the phase for it lasts."""

    def __init__(self, replays: int, archive: Path, *, quiet: bool) -> None:
        self._replays = replays
        self._archive = archive
        self._quiet = quiet
        self._gateway: Gateway | None = None
        self._ours, self._theirs = multiprocessing.Pipe()
        self._following: multiprocessing.process.BaseProcess | None = None
        self._began_s = 0.0
        self.seconds = 0.0
        self.totals: _Totals | None = None
        self.cpu_s = 0.0

    def start(self, redis_url: str, certificate: Certificate | None) -> TestedServer:
        replay = {"max_sessions": self._replays, "sessions_per_ip": self._replays}
        market = {"intervals": ["1m", "1h"]}
        self._gateway = Gateway.start(
            redis_url, {"archive": {"path": str(self._archive)}, "replay": replay, "market": market}
        )
        return self._gateway

    def show(self, phase: str, row: dict[str, float]) -> None:
        assert self._gateway is not None
        if phase == BESIDE and self._following is None:
            context = multiprocessing.get_context("spawn")
            arguments = (self._gateway.port, self._replays, self._theirs)
            self._following = context.Process(target=_follow, args=arguments, daemon=True)
            self._following.start()
            self._began_s = time.monotonic()
        elif phase == DRAIN and self._following is not None and self.totals is None:
            self.cpu_s = self._gateway.metrics().get("gateway_replay_cpu_seconds_total", 0.0)
            self._ours.send("end")
            self.totals = self._ours.recv()
            self.seconds = time.monotonic() - self._began_s
            self._following.join()
        if not self._quiet:
            click.echo(line(phase, row))


def _figures(phase: PhaseResult) -> str:
    assert phase.gateway is not None
    ages = phase.ages_ms["ticker"]
    return (
        f"{phase.name:<15} ticker p50 {ages['p50']:6.1f} ms, p99 {ages['p99']:6.1f} ms   delivered "
        f"{phase.delivery.delivered_per_s:10,.0f}/s   gateway {phase.gateway.cpu_percent:5.1f} % of a core, "
        f"{phase.gateway.rss_mb:6.1f} MB, waited {phase.gateway.waited_percent:.1f} %"
    )


def measure(replays: int, seconds: float, *, quiet: bool) -> tuple[PhaseResult, PhaseResult]:
    """Run it once; prints the figures, and returns the phases alone and beside replays."""
    phases = (Phase(name=ALONE, seconds=seconds), Phase(name=BESIDE, seconds=seconds))
    scenario = msgspec.structs.replace(load("mission"), phases=phases, baseline=False)
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder:
        path = Path(folder) / "archive.db"
        asyncio.run(_make_archive(path))
        beside = _Beside(replays, path, quiet=quiet)
        result = Run(scenario, Options("replays", "replays"), beside.show, beside.start).run()
    alone, with_replays = result.phases
    for phase in result.phases:
        click.echo(_figures(phase))
    assert beside.totals is not None
    told = beside.totals
    click.echo(
        f"{replays} replays        {told.closed / beside.seconds:,.0f} closed klines/s, "
        f"{told.messages / beside.seconds:,.0f} messages/s, {told.received_bytes / beside.seconds / 1000:,.0f} KB/s; "
        f"each {told.market_s / beside.seconds / replays:,.0f} times as fast as it happened; "
        f"{beside.cpu_s / beside.seconds * 100:.1f} % of a core in turns"
    )
    return alone, with_replays


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
