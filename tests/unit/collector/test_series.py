"""One series: order, gaps, corrections, and what is closed by the clock."""

from __future__ import annotations

import pytest

from collector.events import HISTORY_KLINES
from collector.series import BY_CLOCK_MS, GRACE_MS, RECENT_KLINES, Series, Span
from gateway.model.interval import INTERVALS, MINUTE_MS
from gateway.model.kline import Kline

START = 1_700_000_040_000


def at(place: int) -> int:
    return START + place * MINUTE_MS


def closed(place: int, close: str = "1", event_ms: int = 0) -> Kline:
    time_ms = event_ms or at(place + 1)
    return Kline(at(place), at(place + 1) - 1, "1", "9", "1", close, closed=True, event_time_ms=time_ms)


def forming(place: int, close: str = "1", after_ms: int = 1000) -> Kline:
    return Kline(at(place), at(place + 1) - 1, "1", "9", "1", close, event_time_ms=at(place) + after_ms)


def started(place: int = 0) -> Series:
    series = Series(INTERVALS["1m"])
    series.start(at(place))
    return series


def span(first: int, end: int) -> Span:
    return Span(at(first), at(end))


def test_nothing_leaves_before_it_is_known_where_to_go_on() -> None:
    series = Series(INTERVALS["1m"])
    assert series.take(closed(0)) == series.take(forming(1)) == series.close_by_clock(at(99)) == []
    assert series.next_ms == 0
    assert series.wanted(at(99)) is series.recent() is None


def test_what_came_before_the_start_leaves_at_it() -> None:
    series = Series(INTERVALS["1m"])
    series.take(closed(0))
    series.take(forming(1))
    assert series.start(at(0)) == [closed(0), forming(1)]


def test_klines_leave_as_they_come() -> None:
    series = started()
    assert series.take(forming(0)) == [forming(0)]
    assert series.take(closed(0)) == [closed(0)]
    assert series.take(forming(1)) == [forming(1)]
    assert series.next_ms == at(1)


def test_a_closed_kline_waits_for_the_one_before_it_and_so_does_what_forms_after_it() -> None:
    series = started()
    assert series.take(closed(1)) == series.take(forming(2)) == []
    assert series.seen_ms == at(2)
    assert series.take(closed(0)) == [closed(0), closed(1), forming(2)]


def test_the_newest_that_waits_may_be_a_closed_one() -> None:
    series = started()
    assert series.seen_ms == 0
    series.take(closed(2))
    assert series.seen_ms == at(2)


@pytest.mark.parametrize("late", [forming(0, after_ms=10), forming(0)])
def test_a_forming_state_that_is_older_or_comes_twice_does_not_leave(late: Kline) -> None:
    series = started()
    series.take(forming(0))
    assert series.take(late) == []


def test_a_forming_state_of_a_closed_kline_does_not_leave() -> None:
    series = started()
    series.take(closed(0))
    assert series.take(forming(0)) == []


def test_a_closed_kline_that_comes_twice_leaves_once_whether_or_not_it_has_trade_ids() -> None:
    series = started()
    series.take(closed(0)._replace(first_trade_id=1, last_trade_id=2))
    assert series.take(closed(0, event_ms=at(2))) == []


def test_a_closed_kline_with_other_values_leaves_again_unless_the_report_is_older() -> None:
    series = started()
    series.take(closed(0))
    corrected = closed(0, "2", at(2))._replace(first_trade_id=1, last_trade_id=2)
    assert series.take(corrected) == [corrected]
    assert series.take(closed(0)) == []


def test_what_the_stream_says_of_a_close_goes_before_an_answer_that_came_earlier() -> None:
    series = started()
    series.fill([closed(0, "2", at(3))], span(0, 1), settled=False)
    assert series.take(closed(0)) == [closed(0)]


def test_a_closed_kline_from_before_all_memory_does_not_leave() -> None:
    series = started(5)
    assert series.take(closed(4)) == []
    series.take(closed(5))
    assert series.take(closed(4)) == []


def test_many_that_wait_do_not_use_memory_without_end() -> None:
    series = started()
    for place in range(1, 100):
        series.take(closed(place))
    left = series.fill([closed(place) for place in range(90)], span(0, 100), settled=False)
    assert [kline.open_time_ms for kline in left] == [at(place) for place in range(100)]


def test_a_kline_is_asked_for_once_it_is_overdue() -> None:
    series = started()
    assert series.wanted(at(1) + GRACE_MS - 1) is None
    assert series.wanted(at(1) + GRACE_MS) == span(0, 1)
    assert series.overdue_ms == at(1) + GRACE_MS


def test_an_answer_leaves_in_order_and_releases_what_waited() -> None:
    series = started()
    series.take(closed(2))
    assert series.fill([closed(1), closed(0)], span(0, 2), settled=False) == [closed(0), closed(1), closed(2)]


def test_what_an_answer_lacks_before_its_last_kline_does_not_exist_unless_it_was_streamed() -> None:
    series = started()
    series.take(closed(2))
    answer = [closed(0), closed(3), closed(9)]
    assert series.fill(answer, span(0, 4), settled=False) == [closed(0), closed(2), closed(3)]
    assert series.next_ms == at(4)


def test_what_an_answer_lacks_at_its_end_stays_wanted_unless_the_answer_is_settled() -> None:
    series = started()
    assert series.fill([closed(0)], span(0, 3), settled=False) == [closed(0)]
    assert series.wanted(at(3) + GRACE_MS) == span(1, 3)
    assert series.wanted(at(3)) == span(1, 2)
    series.take(forming(3))
    assert series.fill([], span(1, 3), settled=True) == [forming(3)]
    assert series.next_ms == at(3)


def test_an_answer_about_what_has_come_meanwhile_changes_nothing() -> None:
    series = started()
    series.take(closed(0))
    assert series.fill([closed(0, event_ms=at(3))], span(0, 1), settled=True) == []
    assert series.next_ms == at(1)


def test_what_is_long_overdue_is_closed_as_last_seen_and_confirmed_later() -> None:
    series = started()
    series.take(forming(0, "3"))
    series.take(forming(1))
    assert series.close_by_clock(at(1) + BY_CLOCK_MS - 1) == []
    provisional = forming(0, "3")._replace(closed=True, provisional=True)
    assert series.close_by_clock(at(1) + BY_CLOCK_MS) == [provisional, forming(1)]
    assert series.wanted(at(1) + BY_CLOCK_MS) == span(0, 1)
    confirmed = closed(0, "3")
    assert series.fill([confirmed], span(0, 1), settled=False) == [confirmed, forming(1)]
    assert series.wanted(at(1) + BY_CLOCK_MS) is None


def test_several_klines_that_are_overdue_are_closed_one_by_one_each_as_last_seen() -> None:
    series = started()
    for place in range(40):
        series.take(forming(place, str(place)))
    assert series.close_by_clock(at(90)) == []
    series.start(at(30))
    left = series.close_by_clock(at(90))
    assert [(kline.open_time_ms, kline.close) for kline in left] == [(at(30), "30"), (at(31), "31")]


def test_a_late_close_confirms_too() -> None:
    series = started()
    series.take(forming(0))
    series.close_by_clock(at(2))
    assert series.take(closed(0)) == [closed(0)]
    assert series.wanted(at(1)) is None


def test_what_the_exchange_does_not_have_is_not_asked_for_for_ever() -> None:
    series = started()
    series.take(forming(0))
    series.close_by_clock(at(2))
    series.fill([closed(1)], span(0, 2), settled=False)
    assert series.wanted(at(2)) is None


def test_klines_that_nobody_confirms_do_not_use_memory_without_end_and_are_confirmed_at_last() -> None:
    series = started()
    for place in range(HISTORY_KLINES + 2):
        series.take(forming(place))
        series.close_by_clock(at(place + 2))
    assert series.wanted(at(HISTORY_KLINES + 2)) == span(2, HISTORY_KLINES + 2)
    assert series.fill([closed(2)], span(2, 3), settled=False) == [closed(2)]


def test_a_new_start_forgets_what_was_to_be_confirmed() -> None:
    series = started()
    series.take(forming(0))
    series.close_by_clock(at(2))
    series.start(at(0))
    assert series.wanted(at(1)) is None
    assert series.take(closed(0)) == [closed(0)]


def test_the_newest_klines_are_compared_and_corrections_leave() -> None:
    series = started()
    assert series.recent() == span(-RECENT_KLINES, 0)
    for place in range(3):
        series.take(closed(place))
    answer = [closed(0, event_ms=at(9)), closed(1, "7", at(9)), closed(2, event_ms=at(9)), closed(3)]
    assert series.compare(answer) == [answer[1]]


def test_klines_from_before_the_start_leave_when_they_change_after_the_first_comparison() -> None:
    series = started(2)
    assert series.compare([closed(0), closed(1)]) == []
    assert series.compare([closed(0), closed(1, "2", at(9))]) == [closed(1, "2", at(9))]


def test_a_comparison_finds_a_kline_that_an_answer_had_left_out() -> None:
    series = started()
    series.fill([closed(0), closed(2)], span(0, 3), settled=False)
    assert series.compare([closed(0), closed(1), closed(2)]) == [closed(1)]
