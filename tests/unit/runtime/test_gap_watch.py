"""When gaps are checked, and which of them start a backfill. The clocks, the waits and the store are the test's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, cast

import pytest

from gateway.config import MarketConfig
from gateway.history.store import StoreUnavailable
from gateway.market.gaps import GapState
from gateway.market.market import Market
from gateway.runtime import gap_watch
from gateway.runtime.gap_watch import GapWatch
from tests.builders import MINUTE_MS, T0, closed_klines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.history.store import KlineStore
    from gateway.market.gaps import Gap
    from gateway.market.series import Series
    from gateway.model.kline import Kline
    from gateway.runtime.backfill import Backfill

CLOSED = 3
"""Klines 0 to 2 are there; one more should have closed."""


def stored(numbers: Iterable[int]) -> list[Kline]:
    """Closed klines as a store has them: without an event time, which would show the source's own time."""
    return [kline._replace(event_time_ms=0) for kline in closed_klines(numbers)]


class Stopped(Exception):
    """Ends `run`."""


class FakeBackfill:
    def __init__(self) -> None:
        self.started: list[Series] = []
        self.in_progress: set[Series] = set()
        self.unread: set[str] = set()

    def start_series(self, series: Series) -> bool:
        self.started.append(series)
        return True


class World:
    """`last_closed`: number of the last kline that the collector states as closed, `None` for no statement."""

    def __init__(self, *intervals: str, symbols: int = 1, quiet: Literal["gap", "skip"] = "gap") -> None:
        config = MarketConfig(intervals=intervals or ("1m",), overdue_s=5.0, quiet=quiet)
        self.market = Market(config, log_size=16)
        self.symbols = [f"S{number}USDT" for number in range(symbols)]
        for symbol in self.symbols:
            self.market.reseed(symbol, "1m", stored(range(CLOSED)), T0, None)
        self.now_ms = T0 + (CLOSED + 1) * MINUTE_MS + 5000
        self.now_s = 0.0
        self.live = [True] * 100
        self.last_closed_number: int | None = None
        self.close_offset_ms = -1
        self.unavailable = False
        self.reads: list[int] = []
        self.backfill = FakeBackfill()
        self.watch = GapWatch(
            config,
            cast("KlineStore", self),
            self.market,
            cast("Backfill", self.backfill),
            lambda: self.live.pop(0),
            lambda: self.now_ms,
            lambda: self.now_s,
            self._sleep,
        )
        self.checks_left = 100

    async def _sleep(self, seconds: float) -> None:
        assert seconds == gap_watch.PERIOD_S
        if not self.checks_left:
            raise Stopped
        self.checks_left -= 1

    async def last_closed(self, series: Sequence[tuple[str, str]]) -> list[int | None]:
        self.reads.append(len(series))
        if self.unavailable:
            raise StoreUnavailable("timeout", 1, 0.0)
        number = self.last_closed_number
        closed_ms = None if number is None else T0 + (number + 1) * MINUTE_MS + self.close_offset_ms
        return [closed_ms] * len(series)

    async def run(self, periods: int) -> None:
        self.checks_left = periods
        with pytest.raises(Stopped):
            await self.watch.run()

    @property
    def only(self) -> Gap:
        (gap,) = self.watch.tracker.gaps()
        return gap


async def test_the_first_period_after_a_reconnect_is_left_out() -> None:
    world = World()
    world.live = [True, False, True, False]
    await world.run(4)
    assert world.reads == []
    world.live = [True, True]
    await world.run(2)
    assert world.reads == [1]


async def test_an_unavailable_store_is_asked_again_in_the_next_period() -> None:
    world = World()
    world.unavailable = True
    await world.run(4)
    assert world.reads == [1, 1, 1]
    assert world.only.attempts == 0


async def test_symbols_that_are_still_to_be_read_have_no_gaps_yet() -> None:
    world = World()
    world.backfill.unread = set(world.symbols)
    await world.watch.check()
    assert world.watch.tracker.gaps() == []
    world.backfill.unread.clear()
    await world.watch.check()
    assert len(world.watch.tracker.gaps()) == 1


async def test_a_gap_starts_a_backfill_unless_the_collector_has_not_closed_it_either() -> None:
    world = World()
    world.last_closed_number = CLOSED - 1
    await world.watch.check()
    assert (world.backfill.started, world.only.attempts) == ([], 1)
    world = World()
    world.last_closed_number = CLOSED
    await world.watch.check()
    assert world.backfill.started == [world.only.series]


async def test_a_collector_that_states_nothing_is_read() -> None:
    world = World()
    await world.watch.check()
    assert (world.backfill.started, world.only.attempts) == ([world.only.series], 1)


async def test_a_close_time_on_the_next_open_time_means_the_same() -> None:
    world = World()
    world.last_closed_number = CLOSED - 1
    world.close_offset_ms = 0
    await world.watch.check()
    assert world.backfill.started == []


async def test_a_gap_between_closed_klines_is_read_whatever_the_collector_states() -> None:
    world = World()
    world.market.reseed(world.symbols[0], "1m", stored([CLOSED + 1]), T0, None)
    world.now_ms = T0 + (CLOSED + 2) * MINUTE_MS
    world.last_closed_number = 0
    await world.watch.check()
    assert world.only.inner
    assert world.backfill.started == [world.only.series]


async def test_a_statement_of_the_collector_confirms_a_gap() -> None:
    world = World(quiet="skip")
    world.last_closed_number = CLOSED - 1
    await world.watch.check()
    assert world.watch.tracker.gaps() == []
    world.last_closed_number = CLOSED
    world.now_ms += 5000
    await world.watch.check()
    assert world.only.confirmed


async def test_gaps_wait_while_too_many_series_are_read() -> None:
    world = World()
    series = world.market.series(world.symbols[0], "1m")
    assert series is not None
    busy = Market(MarketConfig(intervals=("1m",)), log_size=4)
    for number in range(gap_watch.BACKFILLS_MAX):
        busy.reseed(f"B{number}USDT", "1m", closed_klines([0]), T0, None)
    world.backfill.in_progress = set(busy.every_series())
    await world.watch.check()
    assert (world.backfill.started, world.only.attempts) == ([], 0)
    world.backfill.in_progress = set()
    await world.watch.check()
    assert (world.backfill.started, world.only.attempts) == ([series], 1)


async def test_one_check_asks_the_store_about_a_limited_number_of_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap_watch, "GAPS_PER_CHECK", 2)
    monkeypatch.setattr(gap_watch, "SLICE_SERIES", 2)
    world = World(symbols=5)
    for _ in range(3):
        await world.watch.check()
    assert world.reads == [2, 2, 1]


async def test_attempts_without_success_are_logged_as_one_line_a_burst(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "gateway.runtime.gap_watch")
    world = World(symbols=3)
    await world.watch.check()
    assert caplog.messages == []
    world.now_ms += 5000
    await world.watch.check()
    at = "2024-11-23T00:03:00+00:00"
    assert caplog.messages == [f"gap in S0USDT 1m from {at} to {at}, attempts=1"]
    world.now_s += 60
    await world.watch.check()
    (_, summary) = caplog.messages
    assert "2 more" in summary


async def test_attempts_end_when_the_gap_is_given_up() -> None:
    world = World()
    world.last_closed_number = CLOSED - 1
    await world.watch.check()
    gap = world.only
    for _ in range(20):
        world.now_ms = max(gap.next_attempt_ms, world.now_ms)
        await world.watch.check()
    assert (gap.state, gap.attempts) == (GapState.GIVEN_UP, 8)


async def test_a_series_that_can_be_aggregated_now_is_read_once() -> None:
    world = World("1m", "5m")
    world.market.reseed(world.symbols[0], "5m", [], T0, None)
    longer = world.market.series(world.symbols[0], "5m")
    for _ in range(3):
        await world.watch.check()
    assert [series for series in world.backfill.started if series is longer] == [longer]
