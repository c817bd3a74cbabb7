"""`gateway simulate`: a simulated exchange and a collector for it, against any Redis."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config import RedisConfig, mask_url
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topics
from simulator.collector import Collector, Progress
from simulator.contract import Contract
from simulator.exchange import Exchange, Pace
from simulator.pairs import choose_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

_SAY_S = 5.0


@dataclass(frozen=True, slots=True)
class Simulation:
    """What to simulate. `symbols`: how many, or which."""

    symbols: int | tuple[str, ...] = 30
    intervals: tuple[str, ...] = ("1m", "5m", "15m", "1h", "4h", "1d")
    pace: Pace = Pace()
    seed: int = 1
    publish: bool = True
    """Off: a collector that writes keys and never publishes."""
    extended: bool = False
    """Klines with trade ids and taker volumes, tickers with the best bid and ask."""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def make_collector(
    simulation: Simulation,
    redis: RedisConfig,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    *,
    now_ms: Callable[[], int] = wall_ms,
) -> Collector:
    """Ready to `run`; `ValueError` says what of the simulation cannot be had."""
    exchange = Exchange(
        choose_pairs(simulation.symbols),
        simulation.intervals,
        seed=simulation.seed,
        start_ms=now_ms(),
        pace=simulation.pace,
    )
    topics = Topics(redis, simulation.intervals, DEFAULT_SYMBOL_PATTERN)
    contract = Contract(topics, publish=simulation.publish, extended=simulation.extended)
    return Collector(exchange, contract, redis, now_ms=now_ms, on_progress=on_progress)


async def run_simulate(simulation: Simulation, redis: RedisConfig, *, say: Callable[[str], None]) -> None:
    """Simulate until cancelled; `say` gets a line of progress now and then."""
    say(f"simulating into {mask_url(redis.url)}")
    await make_collector(simulation, redis, Narrator(say)).run()


class Narrator:
    """Progress in words, not more often than every few seconds."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._said_s = clock()
        self._said = Progress(symbols=0)

    def __call__(self, progress: Progress) -> None:
        now_s, before = self._clock(), self._said
        finished = progress.seeded == progress.symbols != before.seeded
        if not finished and progress.connected == before.connected and now_s - self._said_s < _SAY_S:
            return
        if not progress.connected:
            self._say(f"Redis is away; {progress.waiting} closed klines wait")
        elif finished or progress.seeded < progress.symbols:
            self._say(f"past of {progress.seeded}/{progress.symbols} symbols stored")
        else:
            rate = (progress.messages - before.messages) / max(now_s - self._said_s, 0.001)
            self._say(f"{rate:.0f} messages/s, {progress.closed} klines closed, {progress.outages} outages")
        self._said_s, self._said = now_s, progress
