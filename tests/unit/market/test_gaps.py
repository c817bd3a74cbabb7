"""Which klines count as missing, when the store is read for them, and how a gap ends."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.market.gaps import GAPS_PER_SERIES_MAX, WAITS_MS, Gap, GapState, GapTracker
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, closed_klines, kline

OVERDUE_MS = 5000
LOG = 8


class Stage:
    def __init__(self, interval: str = "1m", *, skip: bool = False) -> None:
        self.series = Series("BTCUSDT", INTERVALS[interval], LOG)
        self.tracker = GapTracker(OVERDUE_MS, skip=skip)
        self.now_ms = T0

    def close(self, *numbers: int) -> None:
        """The store has these klines, and none between them."""
        stored = closed_klines(numbers, interval=self.series.interval.name)
        self.series.reseed([bar._replace(event_time_ms=0) for bar in stored], self.now_ms)

    def receive(self, number: int, **changes: Any) -> None:
        """The source sends an update of a kline."""
        self.series.apply_kline(kline(number, interval=self.series.interval.name, **changes), self.now_ms)

    def update(self, minutes: float) -> None:
        """Update the gaps so many minutes after `T0`."""
        self.now_ms = T0 + round(minutes * MINUTE_MS)
        self.tracker.update(self.series, self.now_ms)

    def give_up(self) -> None:
        while self.tracker.due(self.now_ms + 10**9):
            for gap in self.tracker.due(self.now_ms + 10**9):
                self.tracker.record_attempt(gap, self.now_ms)

    @property
    def gaps(self) -> list[tuple[int, int, str]]:
        return [
            ((gap.from_ms - T0) // MINUTE_MS, (gap.to_ms - T0) // MINUTE_MS, gap.state.value)
            for gap in self.tracker.gaps()
        ]

    @property
    def only(self) -> Gap:
        (gap,) = self.tracker.gaps()
        return gap


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_series_without_klines_has_no_gap(stage: Stage) -> None:
    stage.update(10)
    assert stage.gaps == []


def test_an_aggregated_series_has_no_gap() -> None:
    stage = Stage()
    stage.close(0)
    stage.series.derived_from = "1s"
    stage.update(10)
    assert stage.gaps == []


def test_a_kline_is_missing_overdue_ms_after_its_close_time(stage: Stage) -> None:
    stage.close(0, 1)
    stage.update(3)
    assert stage.gaps == []
    stage.update(3 + OVERDUE_MS / MINUTE_MS)
    assert stage.gaps == [(2, 2, "open")]
    assert (stage.only.since_ms, stage.tracker.open) == (stage.now_ms, 1)
    assert stage.tracker.found == {"1m": 1}
    stage.update(6)
    assert stage.gaps == [(2, 4, "open")], "one gap that grows"
    assert stage.tracker.found == {"1m": 1}


def test_calendar_months_are_overdue_by_their_own_length() -> None:
    stage = Stage("1M")
    first = kline(interval="1d", closed=True)._replace(open_time_ms=T0 - 22 * 86_400_000)
    december_ms = T0 + 8 * 86_400_000
    stage.series.reseed([first._replace(close_time_ms=december_ms - 1, event_time_ms=0)], T0)
    stage.update(37 * 24 * 60)
    assert stage.gaps == []
    stage.update(40 * 24 * 60)
    assert (stage.only.from_ms, stage.only.to_ms) == (december_ms, december_ms)


def test_a_kline_is_missing_when_a_later_one_has_closed(stage: Stage) -> None:
    stage.close(0, 3, 4)
    stage.update(5)
    assert stage.gaps == [(1, 2, "open")]
    assert stage.only.inner


def test_late_klines_repair_a_gap(stage: Stage) -> None:
    stage.close(0, 3)
    stage.update(4)
    stage.close(0, 1, 3)
    stage.update(4)
    assert stage.gaps == [(2, 2, "open")]
    stage.close(0, 1, 2, 3)
    stage.update(4)
    assert stage.gaps == [(2, 2, "repaired")]
    assert (stage.tracker.open, stage.tracker.repaired) == (0, {"1m": 1})
    assert stage.tracker.due(stage.now_ms) == []


def test_a_kline_in_the_middle_splits_a_gap(stage: Stage) -> None:
    stage.close(0, 4)
    stage.update(5)
    stage.close(0, 2, 4)
    stage.update(5)
    assert stage.gaps == [(1, 1, "open"), (3, 3, "open")]


def test_attempts_are_made_at_growing_intervals_and_then_end(stage: Stage) -> None:
    stage.close(0, 2)
    stage.update(3)
    gap = stage.only
    for wait_ms in WAITS_MS:
        assert stage.tracker.due(stage.now_ms) == [gap]
        stage.tracker.record_attempt(gap, stage.now_ms)
        assert stage.tracker.due(stage.now_ms + wait_ms - 1) == []
        stage.now_ms += wait_ms
    assert gap.state is GapState.OPEN
    stage.tracker.record_attempt(gap, stage.now_ms)
    assert stage.gaps == [(1, 1, "given_up")]
    assert (stage.tracker.open, stage.tracker.given_up) == (0, {"1m": 1})
    assert stage.tracker.due(stage.now_ms + 10**9) == []


def test_a_clock_that_is_set_back_does_not_delay_the_next_attempt(stage: Stage) -> None:
    stage.close(0, 2)
    stage.update(3)
    gap = stage.only
    stage.tracker.record_attempt(gap, stage.now_ms)
    assert stage.tracker.due(stage.now_ms) == []
    assert stage.tracker.due(stage.now_ms - 60 * MINUTE_MS) == [gap]


def test_a_gap_that_was_given_up_may_still_be_repaired(stage: Stage) -> None:
    stage.close(0, 2)
    stage.update(3)
    stage.give_up()
    stage.close(0, 1, 2)
    stage.update(3)
    assert stage.gaps == [(1, 1, "repaired")]


def test_a_gap_is_opened_again_when_the_source_delivers_again(stage: Stage) -> None:
    stage.close(0)
    stage.update(3)
    stage.give_up()
    stage.update(4)
    assert stage.gaps == [(1, 2, "given_up")], "silence alone is no reason"
    stage.close(0, 5)
    stage.update(6)
    assert stage.gaps == [(1, 4, "open")]
    stage.give_up()
    stage.close(0, 5, 6)
    stage.update(7)
    assert stage.gaps == [(1, 4, "given_up")]


def test_a_gap_before_the_klines_in_memory_stays_as_it_is(stage: Stage) -> None:
    stage.close(0, 2)
    stage.update(3)
    stage.close(*range(2, 12))
    stage.update(12)
    assert stage.gaps == [(1, 1, "open")]
    stage.give_up()
    assert stage.gaps == [(1, 1, "given_up")]


def test_the_gaps_of_a_series_are_limited(stage: Stage) -> None:
    for number in range(0, 4 * GAPS_PER_SERIES_MAX, 2):
        stage.close(number)
        stage.update(number + 1)
    assert len(stage.gaps) == GAPS_PER_SERIES_MAX == stage.tracker.open
    assert stage.tracker.given_up["1m"] == 2 * GAPS_PER_SERIES_MAX - 1 - GAPS_PER_SERIES_MAX


class TestSourceTime:
    """A source whose time is not ours."""

    HOURS = 600

    def test_a_source_that_is_hours_behind_has_no_gap(self, stage: Stage) -> None:
        stage.close(0)
        for number in range(1, 5):
            stage.receive(number)
            stage.update(self.HOURS + number)
            stage.receive(number, closed=True)
            stage.update(self.HOURS + number + 1)
        assert (stage.gaps, stage.tracker.found) == ([], {})

    def test_its_missing_klines_are_found_by_its_own_time(self, stage: Stage) -> None:
        stage.close(0)
        stage.receive(1)
        stage.update(self.HOURS + 1)
        stage.update(self.HOURS + 2)
        assert stage.gaps == []
        stage.update(self.HOURS + 2 + OVERDUE_MS / MINUTE_MS)
        assert stage.gaps == [(1, 1, "open")], "a second of the kline had passed at its update"

    def test_closed_klines_alone_show_the_source_time(self, stage: Stage) -> None:
        stage.close(0)
        stage.receive(1, closed=True, event_time_ms=T0 + self.HOURS * MINUTE_MS)
        stage.update(self.HOURS)
        assert stage.gaps == []
        stage.update(self.HOURS + 1.2)
        assert stage.gaps == [(2, 2, "open")]

    def test_an_event_time_long_after_the_close_is_no_source_time(self, stage: Stage) -> None:
        stage.close(0)
        stage.receive(1, event_time_ms=T0 + 10 * MINUTE_MS)
        stage.update(10)
        assert stage.gaps == [(1, 8, "open")]

    def test_a_source_that_is_ahead_is_measured_by_our_clock(self, stage: Stage) -> None:
        stage.close(0)
        stage.receive(1)
        stage.update(-60)
        assert stage.gaps == []
        stage.update(3)
        assert stage.gaps == [(1, 1, "open")]

    def test_a_series_without_updates_uses_the_time_of_the_others(self, stage: Stage) -> None:
        other = Stage()
        stage.receive(1, closed=True)
        stage.update(self.HOURS)
        other.close(0)
        stage.tracker.update(other.series, stage.now_ms)
        assert stage.gaps == []

    def test_the_newest_update_of_any_series_sets_the_source_time(self, stage: Stage) -> None:
        older, silent = Stage(), Stage()
        stage.receive(60, closed=True)
        stage.update(self.HOURS)
        older.receive(1, closed=True)
        silent.close(58)
        for other in (older, silent):
            stage.tracker.update(other.series, stage.now_ms)
        assert stage.gaps == [(59, 59, "open")]

    def test_a_gap_is_withdrawn_when_the_source_time_shows_that_it_is_early(self, stage: Stage) -> None:
        stage.close(0)
        stage.update(self.HOURS)
        assert stage.tracker.open == 1
        stage.receive(1)
        stage.update(self.HOURS + 1)
        assert (stage.gaps, stage.tracker.open, stage.tracker.repaired) == ([], 0, {})

    def test_a_withdrawn_gap_does_not_count_as_repaired(self, stage: Stage) -> None:
        stage.close(0)
        stage.update(4)
        assert stage.gaps == [(1, 2, "open")]
        stage.receive(1)
        stage.update(4.1)
        for number in (1, 2):
            stage.receive(number, closed=True)
            stage.update(3.1 + number)
        assert (stage.gaps, stage.tracker.open, stage.tracker.repaired) == ([], 0, {})

    def test_a_withdrawn_gap_keeps_its_attempts(self, stage: Stage) -> None:
        stage.close(0)
        stage.update(self.HOURS)
        for _ in range(3):
            stage.tracker.record_attempt(stage.only, stage.now_ms)
        stage.receive(1)
        stage.update(self.HOURS + 1)
        assert stage.tracker.due(stage.now_ms) == []
        stage.update(self.HOURS + 3)
        assert (stage.gaps, stage.only.attempts) == ([(1, 1, "open")], 3)
        stage.close(0, 1)
        stage.update(self.HOURS + 3)
        assert (stage.gaps, stage.tracker.repaired) == ([(1, 1, "repaired")], {"1m": 1})

    def test_a_withdrawn_gap_stays_given_up(self, stage: Stage) -> None:
        stage.close(0)
        stage.update(self.HOURS)
        stage.give_up()
        stage.receive(1)
        stage.update(self.HOURS + 1)
        stage.update(self.HOURS + 3)
        assert (stage.gaps, stage.tracker.open) == ([(1, 1, "given_up")], 0)


class TestSplitGaps:
    def test_a_part_of_a_gap_keeps_its_attempts(self, stage: Stage) -> None:
        stage.close(0)
        stage.update(5)
        for _ in range(3):
            stage.tracker.record_attempt(stage.only, stage.now_ms)
        stage.close(0, 2)
        stage.update(5)
        inner, tail = stage.tracker.gaps()
        assert (inner.attempts, tail.attempts) == (0, 3), "the source has continued without the first one"
        assert stage.tracker.open == 2 == stage.tracker.found["1m"]

    def test_a_part_of_a_gap_that_was_given_up_is_given_up(self, stage: Stage) -> None:
        stage.close(0)
        stage.update(5)
        stage.give_up()
        stage.close(0, 2)
        stage.update(5)
        assert stage.gaps == [(1, 1, "open"), (3, 3, "given_up")]
        assert (stage.tracker.found, stage.tracker.given_up) == ({"1m": 2}, {"1m": 2})


class TestSkip:
    """Intervals without trades have no kline."""

    def test_an_unconfirmed_gap_is_due_but_not_listed(self) -> None:
        stage = Stage(skip=True)
        stage.close(0, 2)
        stage.update(5)
        assert stage.gaps == []
        (gap,) = stage.tracker.due(stage.now_ms)
        assert (gap.from_ms - T0) // MINUTE_MS == 3
        assert (stage.tracker.open, stage.tracker.found) == (0, {})
        stage.close(0, 2, 3, 4)
        stage.update(5)
        assert stage.gaps == []
        assert stage.tracker.repaired == {}
        assert stage.tracker.due(stage.now_ms) == []

    def test_a_confirmed_gap_is_listed_until_it_is_repaired(self) -> None:
        stage = Stage(skip=True)
        stage.close(0)
        stage.update(3)
        (gap,) = stage.tracker.due(stage.now_ms)
        for _ in range(2):
            stage.tracker.confirm(gap)
        assert stage.gaps == [(1, 1, "open")]
        assert stage.tracker.found == {"1m": 1}
        stage.close(0, 2, 4)
        stage.update(5)
        assert stage.gaps == [(1, 1, "open")], "the other hole is not confirmed"
        stage.close(0, 1, 2, 4)
        stage.update(5)
        assert stage.gaps == [(1, 1, "repaired")]

    def test_a_part_of_an_unconfirmed_gap_is_unconfirmed(self) -> None:
        stage = Stage(skip=True)
        stage.close(0)
        stage.update(6)
        stage.receive(2, closed=True)
        stage.series.settle(stage.now_ms, 0)
        stage.update(6)
        assert (stage.gaps, stage.tracker.found) == ([], {})


def test_the_latest_gaps_are_open_ones_and_then_repaired_ones(stage: Stage) -> None:
    stage.close(0, 2)
    stage.update(3)
    for gap in stage.tracker.gaps():
        stage.tracker.confirm(gap)
    found = stage.tracker.latest(5)
    assert [gap.from_ms for gap in found] == [gap.from_ms for gap in stage.tracker.gaps()]
    assert stage.tracker.latest(0) == []
