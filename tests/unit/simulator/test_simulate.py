"""What can be simulated, and progress in words."""

from __future__ import annotations

import pytest

from gateway.config import RedisConfig
from simulator.collector import Progress
from simulator.simulate import ProgressPrinter, Simulation, make_collector


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
