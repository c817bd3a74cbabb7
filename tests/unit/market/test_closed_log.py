"""The ring of closed klines: places count on while old klines fall off, and corrections keep the order."""

from __future__ import annotations

import pytest

from gateway.market.change import Change
from gateway.market.closed_log import ClosedLog
from tests.builders import closed_klines, kline


def log_of(*numbers: int, size: int = 4) -> ClosedLog:
    log = ClosedLog(size)
    for number in numbers:
        log.append(kline(number, closed=True))
    return log


def state(log: ClosedLog) -> tuple[object, ...]:
    return list(log), log.start, log.end


def test_an_empty_log_owes_nothing() -> None:
    log = ClosedLog(4)
    assert state(log) == ([], 0, 0)
    assert log.last is None
    assert log.first_open_time_ms == 0
    assert len(log) == 0
    assert log.since(0) == []


def test_places_count_on_when_old_klines_fall_off() -> None:
    log = log_of(0, 1, 2, 3, 4, 5)
    assert list(log) == closed_klines([2, 3, 4, 5])
    assert (log.start, log.end, len(log)) == (2, 6, 4)
    assert log.last == kline(5, closed=True)
    assert log.first_open_time_ms == kline(2).open_time_ms


@pytest.mark.parametrize(("offset", "numbers"), [(2, [2, 3, 4, 5]), (4, [4, 5]), (5, [5]), (6, [])])
def test_a_reader_is_owed_what_came_after_its_place(offset: int, numbers: list[int]) -> None:
    assert log_of(0, 1, 2, 3, 4, 5).since(offset) == closed_klines(numbers)


@pytest.mark.parametrize("number", [1, 2])
def test_appending_an_older_kline_would_be_our_bug(number: int) -> None:
    log = log_of(1, 2)
    before = state(log)
    with pytest.raises(AssertionError):
        log.append(kline(number, closed=True))
    assert state(log) == before


def test_a_newer_source_kline_about_a_kline_replaces_it_in_its_place() -> None:
    log = log_of(0, 1, 2)
    better = kline(1, closed=True)._replace(close="106", event_time_ms=kline(1, closed=True).event_time_ms + 1)
    assert log.correct(better)
    assert list(log) == [kline(0, closed=True), better, kline(2, closed=True)]
    assert (log.start, log.end) == (0, 3)


def test_of_two_source_klines_of_one_time_the_one_with_more_trades_stays() -> None:
    log = log_of(0, 1)
    more = kline(1, closed=True, trades=9, close="106")
    assert log.correct(more)
    assert not log.correct(kline(1, closed=True, trades=8, close="107"))
    assert log.last == more


def test_an_older_source_kline_about_a_kline_changes_nothing() -> None:
    log = log_of(0, 1)
    before = state(log)
    assert not log.correct(kline(1, closed=True, close="106", event_time_ms=1))
    assert state(log) == before


def test_a_repetition_is_no_correction_but_its_time_counts_from_then_on() -> None:
    log = log_of(0, 1)
    seen_ms = kline(1, closed=True).event_time_ms
    repeated = kline(1, closed=True, event_time_ms=seen_ms + 9)
    assert not log.correct(repeated)
    assert not log.correct(kline(1, closed=True, close="106", event_time_ms=seen_ms + 5))
    assert log.last == repeated


def test_a_source_kline_about_a_kline_that_is_not_here_changes_nothing() -> None:
    log = log_of(0, 2)
    before = state(log)
    assert not log.correct(kline(1, closed=True))
    assert state(log) == before


@pytest.mark.parametrize(
    ("held", "late", "then"),
    [
        pytest.param((0, 2, 3), 1, [0, 1, 2, 3], id="between"),
        pytest.param((1, 2), 0, [0, 1, 2], id="before-all-while-there-is-room"),
        pytest.param((0, 1), 2, [0, 1, 2], id="after-all"),
        pytest.param((0, 1, 2, 4), 3, [1, 2, 3, 4], id="full-so-the-oldest-goes"),
    ],
)
def test_a_kline_that_arrived_late_goes_where_it_belongs(held: tuple[int, ...], late: int, then: list[int]) -> None:
    log = log_of(*held)
    assert log.insert(kline(late, closed=True))
    assert list(log) == closed_klines(then)
    assert log.end == len(held) + 1


def test_a_kline_older_than_a_full_log_has_no_room() -> None:
    log = log_of(1, 2, 3, 4)
    before = state(log)
    assert not log.insert(kline(0, closed=True))
    assert state(log) == before


def test_the_first_kline_may_close_after_later_ones_until_the_log_is_full() -> None:
    log = log_of(2)
    log.begin_ms = kline(0).open_time_ms
    assert log.merge(kline(0, closed=True)) is Change.CORRECTED
    assert log.merge(kline(1, closed=True)) is Change.CORRECTED
    assert list(log) == closed_klines([0, 1, 2])
    for number in (3, 4):
        log.append(kline(number, closed=True))
    assert log.since_ms == kline(1).open_time_ms
    assert log.merge(kline(0, closed=True)) is Change.UNCHANGED


def test_what_closes_after_a_limit_is_dropped_and_later_event_times_are_forgotten() -> None:
    log = log_of(0, 1, 2)
    log.append(kline(3, closed=True, event_time_ms=kline(9).open_time_ms))
    assert not log.drop_after(kline(9).open_time_ms)
    assert log.drop_after(kline(4).close_time_ms)
    assert list(log) == [*closed_klines([0, 1, 2]), kline(3, closed=True, event_time_ms=0)]
    assert log.drop_after(kline(2).open_time_ms)
    assert list(log) == closed_klines([0, 1])


def test_a_kline_that_is_not_the_newest_repeats_corrects_or_fills() -> None:
    log = log_of(1, 2, 4)
    assert log.merge(kline(2, closed=True)) is Change.UNCHANGED
    assert log.merge(kline(2, "1 2 1 2", closed=True, event_time_ms=kline(9).open_time_ms)) is Change.CORRECTED
    assert log.merge(kline(3, closed=True)) is Change.CORRECTED
    assert [held.open_time_ms for held in log] == [kline(number).open_time_ms for number in (1, 2, 3, 4)]
    assert log.merge(kline(0, closed=True)) is Change.UNCHANGED, "older than all"
    log.begin_ms = kline(0).open_time_ms
    assert log.since_ms == kline(0).open_time_ms
    assert log.merge(kline(-1, closed=True)) is Change.UNCHANGED, "older than what may still close"
    assert log_of(1, 2).since_ms == kline(1).open_time_ms
    full = log_of(2, 3, 4, 6)
    assert full.merge(kline(5, closed=True)) is Change.CORRECTED
    assert [held.open_time_ms for held in full] == [kline(number).open_time_ms for number in (3, 4, 5, 6)]


def test_a_log_knows_how_many_klines_it_holds_at_most() -> None:
    assert ClosedLog(4).size == 4


@pytest.mark.parametrize(
    ("given", "held"),
    [([], [5, 6]), ([4], [4, 5, 6]), ([1, 2, 3, 4, 5, 6, 7], [3, 4, 5, 6]), ([6, 7], [5, 6])],
)
def test_older_klines_are_put_in_front_and_are_pending_for_nobody(given: list[int], held: list[int]) -> None:
    log = log_of(5, 6)
    assert log.prepend(closed_klines(given)) == (kline(4).open_time_ms if 4 in held else 0)
    assert list(log) == closed_klines(held)
    assert (log.end, log.since(1), log.since(2)) == (2, closed_klines([6]), [])


def test_nothing_is_put_in_front_of_nothing_or_into_a_full_log() -> None:
    empty, full = log_of(), log_of(5, 6, 7, 8)
    assert not empty.prepend(closed_klines([1]))
    assert not full.prepend(closed_klines([1]))
    assert (list(empty), list(full)) == ([], closed_klines([5, 6, 7, 8]))
