"""Which series are compared when, and what a difference leads to. The clock, the waits and the store are the test's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from gateway.config import MarketConfig
from gateway.history.store import StoreUnavailable
from gateway.market.market import Market
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from gateway.redis.contract import Topic
from gateway.runtime import store_comparison
from gateway.runtime.store_comparison import RECHECK_TURNS, TURNS_MIN, WATCHED_TURNS, Rotation, StoreComparison
from tests.builders import T0, closed_klines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.history.store import KlineStore, SeriesRead
    from gateway.model.kline import Kline

DEPTH = 3


class Stopped(Exception):
    """Ends `run`."""


class World:
    """Symbols with three closed 1m klines each; `stored` is what the store has of any of them."""

    def __init__(self, symbols: int = 1, compare_s: float = 20.0) -> None:
        config = MarketConfig(intervals=("1m", "3m"), compare_s=compare_s, compare_klines=DEPTH)
        self.market = Market(config, log_size=16)
        self.symbols = [f"S{number:03d}USDT" for number in range(symbols)]
        for symbol in self.symbols:
            self.market.reseed(symbol, "1m", closed_klines(range(3)), T0, None)
        self.market.take_changes()
        self.stored = closed_klines(range(3))
        self.watched: list[Topic] = []
        self.reading: set[Series] = set()
        self.live = True
        self.unavailable = False
        self.reads: list[list[str]] = []
        self.turns = 0
        self.waits_s: set[float] = set()
        self.comparison = StoreComparison(
            config,
            cast("KlineStore", self),
            self.market,
            self.reading,
            lambda: self.live,
            lambda: self.watched,
            lambda: T0,
            lambda: 0.0,
            self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits_s.add(seconds)
        if not self.turns:
            raise Stopped
        self.turns -= 1

    async def closed_klines_of(self, reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        self.reads.append([f"{read.symbol} {read.interval}" for read in reads])
        if self.unavailable:
            raise StoreUnavailable("timeout", 1, 0.0)
        assert {(read.limit, read.start_ms) for read in reads} <= {(DEPTH, None)}
        return [self.stored] * len(reads)

    async def run(self, turns: int) -> None:
        self.turns = turns
        with pytest.raises(Stopped):
            await self.comparison.run()

    def watch(self, *symbols: str) -> None:
        self.watched = [Topic(symbol, interval) for symbol in symbols for interval in ("", "1m")]

    def correct(self, number: int, close: str) -> None:
        self.stored[number] = self.stored[number]._replace(close=close, event_time_ms=0)

    @property
    def closes(self) -> list[str]:
        return [kline.close for kline in self.market.closed(self.symbols[0], "1m")]


async def test_each_watched_series_is_compared_once_a_period_evenly_spread() -> None:
    world = World(symbols=40)
    world.watch(*world.symbols)
    await world.run(TURNS_MIN)
    assert sorted(name for reads in world.reads for name in reads) == [f"{symbol} 1m" for symbol in world.symbols]
    assert {len(reads) for reads in world.reads} == {2}
    assert world.waits_s == {1.0}


async def test_what_is_newly_watched_comes_first() -> None:
    world = World(symbols=40)
    world.watch(*world.symbols[:30])
    await world.run(WATCHED_TURNS)
    world.watch(*world.symbols)
    world.reads.clear()
    await world.run(WATCHED_TURNS)
    assert {f"{symbol} 1m" for symbol in world.symbols[30:]} <= {name for reads in world.reads for name in reads}


async def test_of_what_nobody_watches_one_series_is_compared_at_a_turn() -> None:
    world = World(symbols=3)
    await world.run(4)
    one_by_one = [[], ["S000USDT 1m"], ["S001USDT 1m"], ["S002USDT 1m"]]
    assert world.reads == one_by_one
    assert world.comparison.compared == 3
    world.reads.clear()
    await world.run(TURNS_MIN)
    assert [reads for reads in world.reads if reads] == one_by_one[1:], "a round a period"


async def test_series_that_are_derived_or_empty_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_comparison, "PASSED_MAX", 1)
    world = World(symbols=2)
    world.watched = [Topic("S000USDT", "3m"), Topic("NEWUSDT", "1m")]
    await world.run(6)
    assert [name for reads in world.reads for name in reads] == ["S000USDT 1m", "S001USDT 1m"]


async def test_equal_klines_change_nothing() -> None:
    world = World()
    world.watch(*world.symbols)
    await world.run(3 * TURNS_MIN)
    assert not world.market.take_changes()
    assert world.comparison.corrected == 0


async def test_a_difference_that_is_seen_twice_is_corrected(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.watch(*world.symbols)
    world.correct(1, "109")
    await world.run(TURNS_MIN)
    assert world.closes == ["105", "105", "105"]
    await world.run(RECHECK_TURNS)
    assert world.closes == ["105", "109", "105"]
    assert {series.interval.name for series in world.market.take_changes().corrected} == {"1m"}
    assert world.comparison.corrected == 1
    assert [record.getMessage() for record in caplog.records] == [
        "the store has other closed klines than the feed has sent: 1 of S000USDT 1m corrected"
    ]
    await world.run(2 * TURNS_MIN)
    assert world.comparison.corrected == 1, "it is the same now"


async def test_a_difference_that_goes_away_is_none() -> None:
    world = World()
    world.watch(*world.symbols)
    world.correct(1, "109")
    await world.run(TURNS_MIN)
    world.correct(1, "105")
    await world.run(2 * TURNS_MIN)
    assert world.closes == ["105", "105", "105"]


async def test_a_difference_that_changes_is_looked_at_once_more() -> None:
    world = World()
    world.watch(*world.symbols)
    world.correct(1, "109")
    await world.run(TURNS_MIN)
    world.correct(1, "108")
    await world.run(RECHECK_TURNS)
    assert world.closes == ["105", "105", "105"]
    await world.run(RECHECK_TURNS)
    assert world.closes == ["105", "108", "105"]


async def test_nothing_is_compared_while_the_feed_is_stale_or_the_series_is_read() -> None:
    world = World()
    world.watch(*world.symbols)
    world.live = False
    await world.run(5)
    assert world.reads == []
    world.live = True
    series = world.market.series(world.symbols[0], "1m")
    assert series is not None
    world.reading.add(series)
    await world.run(TURNS_MIN)
    assert not any(world.reads)


async def test_what_was_read_while_the_feed_became_stale_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.watch(*world.symbols)
    world.correct(1, "109")
    read = world.closed_klines_of

    async def lose_link(reads: Sequence[SeriesRead]) -> list[list[Kline]]:
        world.live = not reads
        return await read(reads)

    monkeypatch.setattr(world, "closed_klines_of", lose_link)
    for _ in range(3):
        await world.run(TURNS_MIN)
        world.live = True
    assert world.closes == ["105", "105", "105"]


async def test_a_store_that_cannot_be_read_is_asked_again_at_the_next_turn() -> None:
    world = World()
    world.watch(*world.symbols)
    world.unavailable = True
    await world.run(3)
    world.unavailable = False
    await world.run(TURNS_MIN)
    assert ["S000USDT 1m"] in world.reads


async def test_a_shorter_period_has_shorter_turns() -> None:
    world = World(compare_s=2.0)
    await world.run(1)
    assert world.waits_s == {0.1}


def test_members_that_leave_lose_their_turn() -> None:
    one, two, three = (Series(symbol, INTERVALS["1m"], 4) for symbol in ("A", "B", "C"))
    rotation = Rotation()
    assert rotation.take(1.0) == []
    rotation.set_members([one, two])
    assert rotation.take(0.5) == [one]
    rotation.set_members([one, two, three])
    assert rotation.take(1 / 3) == [three]
    rotation.set_members([one, three])
    assert rotation.take(1.0) == [one, three]
