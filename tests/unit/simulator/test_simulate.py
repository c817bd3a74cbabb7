"""What can be simulated, and progress in words."""

from __future__ import annotations

import pytest

from gateway.config import Config, RedisConfig
from simulator.collector import Progress
from simulator.simulate import COLLECTED, ProgressPrinter, Simulation, collected, make_collector


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def printer(lines: list[str], clock: Clock) -> ProgressPrinter:
    return ProgressPrinter(lines.append, clock)


RUNNING = Progress(symbols=30, seeded=30, connected=True, messages=500)


@pytest.mark.parametrize(
    ("served", "simulated"),
    [
        (Config().market.intervals, COLLECTED),
        (("1s", "1m", "5m", "30m"), ("1s", "1m", "5m")),
        (("3m", "1h"), ("3m", "1h")),
        (("1M", "2h"), ("1M", "2h")),
        (("1d", "1w", "7m"), ("1d", "7m")),
    ],
)
def test_intervals_that_a_gateway_derives_are_not_simulated(
    served: tuple[str, ...], simulated: tuple[str, ...]
) -> None:
    assert collected(served) == simulated


def test_progress_is_printed_as_soon_as_the_history_is_stored(printer: ProgressPrinter, lines: list[str]) -> None:
    printer(Progress(symbols=30, seeded=1, connected=True))
    printer(Progress(symbols=30, seeded=2, connected=True))
    printer(Progress(symbols=30, seeded=30, connected=True))
    assert lines == ["history of 1/30 symbols stored", "history of 30/30 symbols stored"]


def test_rates_are_printed_every_few_seconds(printer: ProgressPrinter, lines: list[str], clock: Clock) -> None:
    printer(RUNNING)
    clock.now_s += 4.9
    printer(Progress(symbols=30, seeded=30, connected=True, messages=900))
    assert len(lines) == 1
    clock.now_s += 0.1
    printer(Progress(symbols=30, seeded=30, connected=True, messages=1_000, closed=7, outages=1))
    assert lines[1:] == ["100 messages/s, 7 klines closed, 1 outages"]


def test_begin_and_end_of_an_outage_are_printed_at_once(
    printer: ProgressPrinter, lines: list[str], clock: Clock
) -> None:
    printer(RUNNING)
    clock.now_s += 1
    printer(Progress(symbols=30, seeded=30, connected=False, messages=500, waiting=12))
    printer(Progress(symbols=30, seeded=30, connected=False, messages=500, waiting=13))
    clock.now_s += 1
    printer(Progress(symbols=30, seeded=30, connected=True, messages=600, closed=12, outages=1))
    assert lines[1:] == [
        "Redis is unavailable; 12 closed klines are waiting",
        "100 messages/s, 12 klines closed, 1 outages",
    ]


@pytest.mark.parametrize(
    "simulation", [Simulation(symbols=("NOPE",)), Simulation(intervals=("2m",))], ids=["symbol", "interval"]
)
async def test_an_impossible_simulation_is_refused_before_it_runs(simulation: Simulation) -> None:
    with pytest.raises(ValueError, match=r"NOPE|2m"):
        make_collector(simulation, RedisConfig())
