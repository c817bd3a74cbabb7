"""What counts as missing, when it is looked for, and what becomes of it."""

from __future__ import annotations

import pytest

from gateway.market.gaps import GAPS_PER_SERIES_MAX, WAITS_MS, Gap, GapState, GapWatch
from gateway.market.rollup import Rollup
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, closed_klines, kline

OVERDUE_MS = 5000
LOG = 8


class Stage:
    def __init__(self, interval: str = "1m", *, skip: bool = False) -> None:
        self.series = Series("BTCUSDT", INTERVALS[interval], LOG)
        self.watch = GapWatch(OVERDUE_MS, skip=skip)
        self.now_ms = T0

    def close(self, *numbers: int) -> None:
        """The store has these; nothing between them."""
        self.series.reseed(closed_klines(numbers, interval=self.series.interval.name), self.now_ms)

    def look(self, minutes: float) -> None:
        """Look at a time that is so many minutes after `T0`."""
        self.now_ms = T0 + round(minutes * MINUTE_MS)
        self.watch.look(self.series, self.now_ms)

    def give_up(self) -> None:
        while self.watch.due(self.now_ms + 10**9):
            for gap in self.watch.due(self.now_ms + 10**9):
                self.watch.looked(gap, self.now_ms)

    @property
    def gaps(self) -> list[tuple[int, int, str]]:
        return [
            ((gap.from_ms - T0) // MINUTE_MS, (gap.to_ms - T0) // MINUTE_MS, gap.state.value)
            for gap in self.watch.gaps()
        ]

    @property
    def only(self) -> Gap:
        (gap,) = self.watch.gaps()
        return gap


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_nothing_is_expected_of_a_series_without_any_kline(stage: Stage) -> None:
    stage.look(10)
    assert stage.gaps == []


def test_nor_of_one_that_is_made_of_another() -> None:
    stage = Stage()
    stage.close(0)
    stage.series.rollup = Rollup(Series("BTCUSDT", INTERVALS["1s"], LOG), stage.series)
    stage.look(10)
    assert stage.gaps == []


def test_a_kline_is_missing_so_long_after_its_close_time(stage: Stage) -> None:
    stage.close(0, 1)
    stage.look(3)
    assert stage.gaps == []
    stage.look(3 + OVERDUE_MS / MINUTE_MS)
    assert stage.gaps == [(2, 2, "open")]
    assert (stage.only.since_ms, stage.watch.open) == (stage.now_ms, 1)
    assert stage.watch.found == {"1m": 1}
    stage.look(6)
    assert stage.gaps == [(2, 4, "open")], "silence grows; it is one gap"
    assert stage.watch.found == {"1m": 1}


def test_months_are_as_long_as_they_are() -> None:
    stage = Stage("1M")
    first = kline(interval="1d", closed=True)._replace(open_time_ms=T0 - 22 * 86_400_000)
    december_ms = T0 + 8 * 86_400_000
    stage.series.reseed([first._replace(close_time_ms=december_ms - 1)], T0)
    stage.look(37 * 24 * 60)
    assert stage.gaps == []
    stage.look(40 * 24 * 60)
    assert (stage.only.from_ms, stage.only.to_ms) == (december_ms, december_ms)


def test_a_kline_is_missing_when_a_later_one_has_closed(stage: Stage) -> None:
    stage.close(0, 3, 4)
    stage.look(5)
    assert stage.gaps == [(1, 2, "open")]
    assert stage.only.inner


def test_what_comes_late_repairs_the_gap(stage: Stage) -> None:
    stage.close(0, 3)
    stage.look(4)
    stage.close(0, 1, 3)
    stage.look(4)
    assert stage.gaps == [(2, 2, "open")]
    stage.close(0, 1, 2, 3)
    stage.look(4)
    assert stage.gaps == [(2, 2, "repaired")]
    assert (stage.watch.open, stage.watch.repaired) == (0, {"1m": 1})
    assert stage.watch.due(stage.now_ms) == []


def test_a_gap_in_the_middle_of_a_gap_is_repaired(stage: Stage) -> None:
    stage.close(0, 4)
    stage.look(5)
    stage.close(0, 2, 4)
    stage.look(5)
    assert stage.gaps == [(1, 1, "open"), (3, 3, "open")]


def test_the_store_is_looked_at_at_growing_intervals_and_then_no_more(stage: Stage) -> None:
    stage.close(0, 2)
    stage.look(3)
    gap = stage.only
    for wait_ms in WAITS_MS:
        assert stage.watch.due(stage.now_ms) == [gap]
        stage.watch.looked(gap, stage.now_ms)
        assert stage.watch.due(stage.now_ms + wait_ms - 1) == []
        stage.now_ms += wait_ms
    assert gap.state is GapState.OPEN
    stage.watch.looked(gap, stage.now_ms)
    assert stage.gaps == [(1, 1, "given_up")]
    assert (stage.watch.open, stage.watch.given_up) == (0, {"1m": 1})
    assert stage.watch.due(stage.now_ms + 10**9) == []


def test_a_clock_that_is_set_back_does_not_delay_the_next_look(stage: Stage) -> None:
    stage.close(0, 2)
    stage.look(3)
    gap = stage.only
    stage.watch.looked(gap, stage.now_ms)
    assert stage.watch.due(stage.now_ms) == []
    assert stage.watch.due(stage.now_ms - 60 * MINUTE_MS) == [gap]


def test_what_was_given_up_may_still_be_repaired(stage: Stage) -> None:
    stage.close(0, 2)
    stage.look(3)
    stage.give_up()
    stage.close(0, 1, 2)
    stage.look(3)
    assert stage.gaps == [(1, 1, "repaired")]


def test_a_source_that_speaks_again_is_looked_at_again(stage: Stage) -> None:
    stage.close(0)
    stage.look(3)
    stage.give_up()
    stage.look(4)
    assert stage.gaps == [(1, 2, "given_up")], "silence alone is no reason"
    stage.close(0, 5)
    stage.look(6)
    assert stage.gaps == [(1, 4, "open")]
    stage.give_up()
    stage.close(0, 5, 6)
    stage.look(7)
    assert stage.gaps == [(1, 4, "given_up")]


def test_a_gap_that_has_left_the_memory_stays_as_it_is(stage: Stage) -> None:
    stage.close(0, 2)
    stage.look(3)
    stage.close(*range(2, 12))
    stage.look(12)
    assert stage.gaps == [(1, 1, "open")]
    stage.give_up()
    assert stage.gaps == [(1, 1, "given_up")]


def test_a_series_full_of_holes_is_told_of_up_to_a_limit(stage: Stage) -> None:
    for number in range(0, 4 * GAPS_PER_SERIES_MAX, 2):
        stage.close(number)
        stage.look(number + 1)
    assert len(stage.gaps) == GAPS_PER_SERIES_MAX == stage.watch.open
    assert stage.watch.given_up["1m"] == 2 * GAPS_PER_SERIES_MAX - 1 - GAPS_PER_SERIES_MAX


class TestQuiet:
    def test_silence_is_looked_into_but_not_told_of(self) -> None:
        stage = Stage(skip=True)
        stage.close(0, 2)
        stage.look(5)
        assert stage.gaps == []
        (gap,) = stage.watch.due(stage.now_ms)
        assert (gap.from_ms - T0) // MINUTE_MS == 3
        assert (stage.watch.open, stage.watch.found) == (0, {})
        stage.close(0, 2, 3, 4)
        stage.look(5)
        assert stage.gaps == []
        assert stage.watch.repaired == {}
        assert stage.watch.due(stage.now_ms) == []

    def test_what_the_source_says_it_has_closed_is_missing_until_it_is_there(self) -> None:
        stage = Stage(skip=True)
        stage.close(0)
        stage.look(3)
        (gap,) = stage.watch.due(stage.now_ms)
        for _ in range(2):
            stage.watch.prove(gap)
        assert stage.gaps == [(1, 1, "open")]
        assert stage.watch.found == {"1m": 1}
        stage.close(0, 2, 4)
        stage.look(5)
        assert stage.gaps == [(1, 1, "open")], "the other hole was quiet"
        stage.close(0, 1, 2, 4)
        stage.look(5)
        assert stage.gaps == [(1, 1, "repaired")]


def test_the_latest_are_those_that_are_looked_for_then_those_that_were_repaired(stage: Stage) -> None:
    stage.close(0, 2)
    stage.look(3)
    for gap in stage.watch.gaps():
        stage.watch.prove(gap)
    found = stage.watch.latest(5)
    assert [gap.from_ms for gap in found] == [gap.from_ms for gap in stage.watch.gaps()]
    assert stage.watch.latest(0) == []
