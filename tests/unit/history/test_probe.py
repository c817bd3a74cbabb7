"""When the store is pinged, on a clock of the test."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.history.probe import PING_S, StoreProbe
from gateway.history.store import StoreUnavailable
from gateway.redis.breaker import Breaker

RETRY_S = (1.0, 2.0, 4.0)


class Done(Exception):
    """The time is over."""


class World:
    """A store behind its breaker, and a clock that moves when somebody sleeps."""

    def __init__(self, away: range, until_s: float) -> None:
        self.now_s = 0.0
        self.asked_s: list[float] = []
        self.sent_s: list[float] = []
        self.breaker = Breaker(RETRY_S)
        self._away = away
        self._until_s = until_s

    async def ping(self) -> None:
        self.asked_s.append(self.now_s)
        if self.breaker.allows(self.now_s):
            self.sent_s.append(self.now_s)
            if int(self.now_s) not in self._away:
                self.breaker.succeeded()
                return
            self.breaker.failed(self.now_s)
        raise StoreUnavailable("connection", 1, self.breaker.retry_after_s(self.now_s))

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s > self._until_s:
            raise Done


async def lived(away: range, until_s: float) -> World:
    world = World(away, until_s)
    with pytest.raises(Done):
        await StoreProbe(world.ping, RETRY_S, world.sleep).run()
    return world


async def test_an_available_store_is_pinged_every_ten_seconds() -> None:
    world = await lived(range(0), 35)
    assert world.sent_s == [0, 10, 20, 30]
    assert PING_S == 10


async def test_a_store_whose_links_are_watched_less_closely_is_pinged_less_often() -> None:
    world = World(range(0), 100)
    with pytest.raises(Done):
        await StoreProbe(world.ping, RETRY_S, world.sleep, watchdog_s=15.0).run()
    assert world.sent_s == [0, 45, 90]


async def test_an_unavailable_store_is_pinged_by_the_retry_schedule() -> None:
    world = await lived(range(10, 1000), 45)
    # 0 is well; five failures at 10 .. 21; then the open circuit's probes, 1, 2, 4, 4 … s apart.
    assert world.sent_s == [0, 10, 11, 13, 17, 21, 22, 24, 28, 32, 36, 40, 44]
    assert world.asked_s == world.sent_s, "no ping while the circuit is open"
    assert not world.breaker.closed


async def test_a_successful_ping_restarts_the_schedule() -> None:
    world = await lived(range(10, 27), 70)
    assert world.sent_s[-6:] == [24, 28, 38, 48, 58, 68]
    assert world.breaker.closed


async def test_a_short_outage_costs_a_second() -> None:
    world = await lived(range(10, 11), 50)
    assert world.sent_s == [0, 10, 11, 21, 31, 41]
    assert all(later - earlier <= PING_S for earlier, later in pairwise(world.sent_s))
