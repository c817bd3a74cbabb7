"""What counts as missing, when it is looked for, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.market.aggregate import Aggregation
from gateway.market.gaps import GAPS_PER_SERIES_MAX, WAITS_MS, Gap, GapState, GapTracker
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, closed_klines, kline

OVERDUE_MS = 5000
LOG = 8


class Stage:
    def __init__(self, interval: str = "1m", *, skip: bool = False) -> None:
        self.series = Series("BTCUSDT", INTERVALS[interval], LOG)
        self.watch = GapTracker(OVERDUE_MS, skip=skip)
        self.now_ms = T0

    def close(self, *numbers: int) -> None:
        """The store has these; nothing between them."""
        stored = closed_klines(numbers, interval=self.series.interval.name)
        self.series.reseed([bar._replace(event_time_ms=0) for bar in stored], self.now_ms)

    def hear(self, number: int, **changes: Any) -> None:
        """The source speaks of a bar."""
        self.series.fold_kline(kline(number, interval=self.series.interval.name, **changes), self.now_ms)

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
    stage.series.aggregation = Aggregation(Series("BTCUSDT", INTERVALS["1s"], LOG), stage.series)
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
    stage.series.reseed([first._replace(close_time_ms=december_ms - 1, event_time_ms=0)], T0)
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


class TestBehind:
    """A source whose time is not ours."""

    HOURS = 600

    def test_one_that_is_hours_behind_owes_nothing_yet(self, stage: Stage) -> None:
        stage.close(0)
        for number in range(1, 5):
            stage.hear(number)
            stage.look(self.HOURS + number)
            stage.hear(number, closed=True)
            stage.look(self.HOURS + number + 1)
        assert (stage.gaps, stage.watch.found) == ([], {})

    def test_but_what_it_leaves_out_is_missing_as_soon(self, stage: Stage) -> None:
        stage.close(0)
        stage.hear(1)
        stage.look(self.HOURS + 1)
        stage.look(self.HOURS + 2)
        assert stage.gaps == []
        stage.look(self.HOURS + 2 + OVERDUE_MS / MINUTE_MS)
        assert stage.gaps == [(1, 1, "open")], "a second of the bar had passed when it spoke"

    def test_one_that_only_sends_closed_klines_shows_its_time_by_them(self, stage: Stage) -> None:
        stage.close(0)
        stage.hear(1, closed=True, event_time_ms=T0 + self.HOURS * MINUTE_MS)
        stage.look(self.HOURS)
        assert stage.gaps == []
        stage.look(self.HOURS + 1.2)
        assert stage.gaps == [(2, 2, "open")]

    def test_one_that_says_when_it_speaks_of_a_bar_long_over_is_not_behind(self, stage: Stage) -> None:
        stage.close(0)
        stage.hear(1, event_time_ms=T0 + 10 * MINUTE_MS)
        stage.look(10)
        assert stage.gaps == [(1, 8, "open")]

    def test_one_that_is_ahead_is_judged_by_our_clock(self, stage: Stage) -> None:
        stage.close(0)
        stage.hear(1)
        stage.look(-60)
        assert stage.gaps == []
        stage.look(3)
        assert stage.gaps == [(1, 1, "open")]

    def test_a_series_that_has_said_nothing_goes_by_the_others(self, stage: Stage) -> None:
        other = Stage()
        stage.hear(1, closed=True)
        stage.look(self.HOURS)
        other.close(0)
        stage.watch.look(other.series, stage.now_ms)
        assert stage.gaps == []

    def test_the_newest_word_of_any_series_tells_the_time(self, stage: Stage) -> None:
        older, silent = Stage(), Stage()
        stage.hear(60, closed=True)
        stage.look(self.HOURS)
        older.hear(1, closed=True)
        silent.close(58)
        for other in (older, silent):
            stage.watch.look(other.series, stage.now_ms)
        assert stage.gaps == [(59, 59, "open")]

    def test_what_was_taken_for_missing_before_it_spoke_is_not(self, stage: Stage) -> None:
        stage.close(0)
        stage.look(self.HOURS)
        assert stage.watch.open == 1
        stage.hear(1)
        stage.look(self.HOURS + 1)
        assert (stage.gaps, stage.watch.open, stage.watch.repaired) == ([], 0, {})

    def test_nor_is_it_repaired_when_it_comes(self, stage: Stage) -> None:
        stage.close(0)
        stage.look(4)
        assert stage.gaps == [(1, 2, "open")]
        stage.hear(1)
        stage.look(4.1)
        for number in (1, 2):
            stage.hear(number, closed=True)
            stage.look(3.1 + number)
        assert (stage.gaps, stage.watch.open, stage.watch.repaired) == ([], 0, {})

    def test_if_it_is_missing_later_it_is_not_looked_for_anew(self, stage: Stage) -> None:
        stage.close(0)
        stage.look(self.HOURS)
        for _ in range(3):
            stage.watch.looked(stage.only, stage.now_ms)
        stage.hear(1)
        stage.look(self.HOURS + 1)
        assert stage.watch.due(stage.now_ms) == []
        stage.look(self.HOURS + 3)
        assert (stage.gaps, stage.only.looks) == ([(1, 1, "open")], 3)
        stage.close(0, 1)
        stage.look(self.HOURS + 3)
        assert (stage.gaps, stage.watch.repaired) == ([(1, 1, "repaired")], {"1m": 1})

    def test_what_was_given_up_before_is_so_later(self, stage: Stage) -> None:
        stage.close(0)
        stage.look(self.HOURS)
        stage.give_up()
        stage.hear(1)
        stage.look(self.HOURS + 1)
        stage.look(self.HOURS + 3)
        assert (stage.gaps, stage.watch.open) == ([(1, 1, "given_up")], 0)


class TestParts:
    def test_a_part_of_a_gap_is_not_looked_for_anew(self, stage: Stage) -> None:
        stage.close(0)
        stage.look(5)
        for _ in range(3):
            stage.watch.looked(stage.only, stage.now_ms)
        stage.close(0, 2)
        stage.look(5)
        inner, tail = stage.watch.gaps()
        assert (inner.looks, tail.looks) == (0, 3), "the source has gone on without the first one"
        assert stage.watch.open == 2 == stage.watch.found["1m"]

    def test_a_part_of_one_that_was_given_up_is_given_up(self, stage: Stage) -> None:
        stage.close(0)
        stage.look(5)
        stage.give_up()
        stage.close(0, 2)
        stage.look(5)
        assert stage.gaps == [(1, 1, "open"), (3, 3, "given_up")]
        assert (stage.watch.found, stage.watch.given_up) == ({"1m": 2}, {"1m": 2})


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

    def test_a_part_of_what_nobody_missed_is_not_missed(self) -> None:
        stage = Stage(skip=True)
        stage.close(0)
        stage.look(6)
        stage.hear(2, closed=True)
        stage.series.settle(stage.now_ms, 0)
        stage.look(6)
        assert (stage.gaps, stage.watch.found) == ([], {})


def test_the_latest_are_those_that_are_looked_for_then_those_that_were_repaired(stage: Stage) -> None:
    stage.close(0, 2)
    stage.look(3)
    for gap in stage.watch.gaps():
        stage.watch.prove(gap)
    found = stage.watch.latest(5)
    assert [gap.from_ms for gap in found] == [gap.from_ms for gap in stage.watch.gaps()]
    assert stage.watch.latest(0) == []
