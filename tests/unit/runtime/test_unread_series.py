"""Which series are stale in the feed state, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from gateway.config import MarketConfig
from gateway.delivery.feed_state import FeedStateMachine
from gateway.delivery.staleness import Staleness, StaleReason
from gateway.market.aggregate import Parts
from gateway.market.market import Market
from gateway.runtime.unread_series import UnreadSeries
from tests.builders import T0, kline
from tests.unit.runtime.rig import FakeBackfill

if TYPE_CHECKING:
    from gateway.market.series import Series
    from gateway.runtime.backfill import Backfill

LIVE = Staleness()


class World:
    def __init__(self) -> None:
        self.market = Market(MarketConfig(intervals=("1m", "5m", "1h")), 8)
        self.backfill = FakeBackfill()
        self.feed_state = FeedStateMachine(1e9)
        self.feed_state.connected(0.0, T0)
        self.feed_state.backfill_done(0.0, T0, 0, frozenset())
        self.unread = UnreadSeries(self.market, cast("Backfill", self.backfill), self.feed_state, 2.0)

    def series(self, interval: str = "1m") -> Series:
        return self.market.get_or_create("BTCUSDT").series[interval]

    def look(self, now_s: float) -> dict[str, Staleness]:
        """The series of all intervals that are stale then."""
        self.unread.look(now_s, T0 + round(now_s * 1000))
        states = {name: self.feed_state.current.klines("BTCUSDT", name) for name in ("1m", "5m", "1h")}
        return {name: state for name, state in states.items() if not state.live}


@pytest.fixture
def world() -> World:
    return World()


def test_a_series_is_stale_once_it_has_been_read_for_longer_than_the_grace_time(world: World) -> None:
    world.backfill.in_progress = [world.series()]
    world.backfill.reading = {world.series()}
    assert world.look(10.0) == world.look(12.0) == {}
    assert world.look(12.1) == {"1m": Staleness(StaleReason.BACKFILLING, T0 + 10_000)}
    assert world.feed_state.current.live
    assert world.feed_state.current.ticker("BTCUSDT") == LIVE
    before = world.feed_state.current
    assert world.look(12.2) == {"1m": Staleness(StaleReason.BACKFILLING, T0 + 10_000)}
    assert world.feed_state.current is before
    world.backfill.in_progress, world.backfill.reading = [], set()
    assert world.look(12.3) == {}


def test_a_later_read_has_its_grace_time_again(world: World) -> None:
    for start_s in (10.0, 12.0):
        world.backfill.in_progress, world.backfill.reading = [world.series()], {world.series()}
        assert world.look(start_s) == world.look(start_s + 1) == {}
        world.backfill.in_progress, world.backfill.reading = [], set()
        assert world.look(start_s + 1.5) == {}


def test_a_series_with_a_gap_that_is_read_with_all_others_counts_too(world: World) -> None:
    world.backfill.reading = {world.series(), world.series("1h")}
    world.unread.note([world.series()], 5.0, T0 + 5000)
    world.unread.note([world.series()], 6.0, T0 + 6000)
    assert world.look(7.1) == {"1m": Staleness(StaleReason.BACKFILLING, T0 + 5000)}


def test_what_is_derived_from_a_series_lacks_the_same_klines(world: World) -> None:
    parts = [kline(number, closed=True) for number in range(3)]
    world.market.reseed("BTCUSDT", "1m", parts, T0)
    world.market.reseed("BTCUSDT", "5m", [], T0, Parts("1m", parts))
    world.backfill.in_progress, world.backfill.reading = [world.series()], {world.series()}
    world.look(10.0)
    since = Staleness(StaleReason.BACKFILLING, T0 + 10_000)
    assert world.look(13.0) == {"1m": since, "5m": since}
