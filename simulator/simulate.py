"""`gateway simulate` and `gateway demo`: a simulated exchange and its collector, for any Redis or one of their own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from collector.contract import Contract
from gateway.config import mask_url
from gateway.market.aggregate import divisors
from gateway.model.interval import INTERVALS
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topics
from gateway.redis.stream_names import StreamNames
from simulator.collector import Collector, Progress
from simulator.exchange import Activity, Exchange
from simulator.format_contract import FormatContract
from simulator.pairs import choose_pairs
from simulator.past import Job, filling
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.config import RedisConfig

_LINE_INTERVAL_S = 5.0

COLLECTED = ("1m", "5m", "15m", "1h", "4h", "1d")
"""The intervals that a collector stores and publishes; a gateway derives others."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What to simulate. `symbols`: their number, or their names."""

    symbols: int | tuple[str, ...] = 30
    intervals: tuple[str, ...] = COLLECTED
    activity: Activity = Activity()
    seed: int = 1
    publish: bool = True
    """Off: the collector writes keys and never publishes."""
    extended: bool = False
    """Klines with trade ids and taker volumes, tickers with the best bid and ask."""
    format: str = "binance"
    """What is written: see `feed.format`."""
    streams: bool = False
    """Entries are appended to streams, and nothing is published."""


def collected(served: Iterable[str]) -> tuple[str, ...]:
    """The intervals to simulate for a gateway that serves these: those that collectors have, and those that cannot be
    derived from them."""
    names = tuple(served)
    usual = [name for name in COLLECTED if name in names]
    return tuple(name for name in names if name in usual or name not in INTERVALS or not divisors(name, usual))


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def make_collector(
    simulation: Simulation,
    redis: RedisConfig,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    *,
    now_ms: Callable[[], int] = wall_ms,
    start_ms: int | None = None,
) -> Collector:
    """A collector of a new exchange, to be `run`. `start_ms`: when the exchange begins, if not now.

    Raises `ValueError` for a simulation that is not possible.
    """
    exchange = Exchange(
        choose_pairs(simulation.symbols),
        simulation.intervals,
        seed=simulation.seed,
        start_ms=now_ms() if start_ms is None else start_ms,
        activity=simulation.activity,
    )
    topics = Topics(redis, simulation.intervals, DEFAULT_SYMBOL_PATTERN)
    options = {"publish": simulation.publish, "extended": simulation.extended}
    if simulation.format == "binance" and not simulation.streams:
        contract = Contract(topics, **options)
    else:
        names = StreamNames(redis, simulation.intervals, DEFAULT_SYMBOL_PATTERN, topics.refusals)
        streams = names if simulation.streams else None
        contract = FormatContract(topics, **options, payload_format=simulation.format, streams=streams)
    return Collector(exchange, contract, redis, now_ms=now_ms, on_progress=on_progress)


async def run_simulate(simulation: Simulation, redis: RedisConfig, *, print_line: Callable[[str], None]) -> None:
    """Simulate until cancelled; `print_line` gets a line of progress every few seconds."""
    print_line(f"simulating into {mask_url(redis.url)}")
    await make_collector(simulation, redis, ProgressPrinter(print_line)).run()


async def run_demo(
    serve: Callable[[str, str], Awaitable[None]],
    simulation: Simulation,
    redis: RedisConfig,
    *,
    print_line: Callable[[str], None],
) -> None:
    """Run `serve(redis_url, archive)` with a server and a collector until it returns, fails or is cancelled; then end
    both.

    Key names and times are those of `redis`, the URL is the embedded server's. What the collector stores is there
    before `serve` begins. `archive`: path of a temporary file that is filled with the month before, meanwhile.
    """
    start_ms = wall_ms()
    with TemporaryDirectory(prefix="kline-gateway-") as folder:
        archive = str(Path(folder) / "archive.db")
        past = Job(archive, simulation.symbols, simulation.intervals, simulation.seed, start_ms)
        with filling(past):
            async with EmbeddedServer() as server, asyncio.TaskGroup() as tasks:
                settings = msgspec.structs.replace(redis, url=server.url)
                collector = make_collector(simulation, settings, ProgressPrinter(print_line), start_ms=start_ms)
                collecting = tasks.create_task(collector.run(), name="collector")
                await collector.seeded.wait()
                await serve(server.url, archive)
                collecting.cancel()


class ProgressPrinter:
    """Prints progress as text, at most every few seconds unless the state changes."""

    def __init__(self, print_line: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._print_line = print_line
        self._clock = clock
        self._printed_s = clock()
        self._printed = Progress(symbols=0)

    def __call__(self, progress: Progress) -> None:
        now_s, before = self._clock(), self._printed
        finished = progress.seeded == progress.symbols != before.seeded
        if not finished and progress.connected == before.connected and now_s - self._printed_s < _LINE_INTERVAL_S:
            return
        if not progress.connected:
            self._print_line(f"Redis is unavailable; {progress.waiting} closed klines are waiting")
        elif finished or progress.seeded < progress.symbols:
            self._print_line(f"history of {progress.seeded}/{progress.symbols} symbols stored")
        else:
            rate = (progress.messages - before.messages) / max(now_s - self._printed_s, 0.001)
            self._print_line(f"{rate:.0f} messages/s, {progress.closed} klines closed, {progress.outages} outages")
        self._printed_s, self._printed = now_s, progress
