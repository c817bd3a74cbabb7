"""What can be simulated, and progress in words."""

from __future__ import annotations

import pytest

from gateway.config import RedisConfig
from simulator.collector import Progress
from simulator.simulate import Narrator, Simulation, make_collector


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def narrate(said: list[str], clock: Clock) -> Narrator:
    return Narrator(said.append, clock)


RUNNING = Progress(symbols=30, seeded=30, connected=True, messages=500)


def test_the_past_is_announced_as_soon_as_it_is_stored(narrate: Narrator, said: list[str]) -> None:
    narrate(Progress(symbols=30, seeded=1, connected=True))
    narrate(Progress(symbols=30, seeded=2, connected=True))
    narrate(Progress(symbols=30, seeded=30, connected=True))
    assert said == ["past of 1/30 symbols stored", "past of 30/30 symbols stored"]


def test_rates_are_told_every_few_seconds(narrate: Narrator, said: list[str], clock: Clock) -> None:
    narrate(RUNNING)
    clock.now_s += 4.9
    narrate(Progress(symbols=30, seeded=30, connected=True, messages=900))
    assert len(said) == 1
    clock.now_s += 0.1
    narrate(Progress(symbols=30, seeded=30, connected=True, messages=1_000, closed=7, outages=1))
    assert said[1:] == ["100 messages/s, 7 klines closed, 1 outages"]


def test_an_outage_is_told_at_once_and_so_is_its_end(narrate: Narrator, said: list[str], clock: Clock) -> None:
    narrate(RUNNING)
    clock.now_s += 1
    narrate(Progress(symbols=30, seeded=30, connected=False, messages=500, waiting=12))
    narrate(Progress(symbols=30, seeded=30, connected=False, messages=500, waiting=13))
    clock.now_s += 1
    narrate(Progress(symbols=30, seeded=30, connected=True, messages=600, closed=12, outages=1))
    assert said[1:] == ["Redis is away; 12 closed klines wait", "100 messages/s, 12 klines closed, 1 outages"]


@pytest.mark.parametrize(
    "simulation", [Simulation(symbols=("NOPE",)), Simulation(intervals=("2m",))], ids=["symbol", "interval"]
)
async def test_what_cannot_be_simulated_is_refused_before_anything_runs(simulation: Simulation) -> None:
    with pytest.raises(ValueError, match="NOPE|2m"):
        make_collector(simulation, RedisConfig())
