"""When usable data of each lane is too old; time is a number."""

from __future__ import annotations

import pytest

from gateway.delivery.feed_times import FeedTimes
from tests.builders import MINUTE_MS, T0

STALE_S, GRACE_S = 4.0, 2.0
NOW_S = 1000.0


@pytest.fixture
def times() -> FeedTimes:
    return FeedTimes(STALE_S, GRACE_S)


def test_prices_are_old_after_the_limit(times: FeedTimes) -> None:
    times.price_usable(NOW_S)
    assert not times.prices_old(NOW_S + STALE_S)
    assert times.prices_old(NOW_S + STALE_S + 0.1)


def test_prices_that_never_came_are_not_old(times: FeedTimes) -> None:
    times.kline_closed(NOW_S, 60, T0)
    assert not times.prices_old(NOW_S + 1000)


def test_without_tickers_prices_are_those_of_forming_klines(times: FeedTimes) -> None:
    times.kline_usable(NOW_S)
    assert not times.prices_old(NOW_S + STALE_S)
    assert times.prices_old(NOW_S + STALE_S + 0.1)
    times.price_usable(NOW_S + 1)
    times.kline_usable(NOW_S + 9)
    assert times.last_live_s == NOW_S + 1, "with tickers, these"


def test_a_closed_kline_is_overdue_one_interval_and_the_allowance_after_the_last(times: FeedTimes) -> None:
    times.kline_closed(NOW_S, 60, T0)
    assert times.closes_due_s == NOW_S + 60
    assert not times.closes_overdue(NOW_S + 60 + STALE_S + GRACE_S)
    assert times.closes_overdue(NOW_S + 60 + STALE_S + GRACE_S + 0.1)


def test_closed_klines_that_never_came_are_never_overdue(times: FeedTimes) -> None:
    times.price_usable(NOW_S)
    times.restart_closes(NOW_S)
    assert not times.closes_overdue(NOW_S + 1e6)


def test_an_old_closed_kline_that_is_repeated_puts_nothing_off(times: FeedTimes) -> None:
    times.kline_closed(NOW_S, 60, T0)
    times.kline_closed(NOW_S + 50, 60, T0)
    times.kline_closed(NOW_S + 50, 60, T0 - MINUTE_MS)
    assert times.closes_due_s == NOW_S + 60
    assert times.closed_intervals == {60: T0}


def test_an_interval_that_is_missing_while_another_one_closes_is_not_waited_for(times: FeedTimes) -> None:
    times.kline_closed(NOW_S, 60, T0)
    times.kline_closed(NOW_S, 300, T0)
    assert times.closes_due_s == NOW_S + 60
    times.kline_closed(NOW_S + 300, 300, T0 + 5 * MINUTE_MS)
    assert times.closes_due_s == NOW_S + 600


def test_after_an_interruption_the_next_close_is_due_one_interval_from_then(times: FeedTimes) -> None:
    times.price_usable(NOW_S)
    times.kline_closed(NOW_S, 60, T0)
    times.restart_closes(NOW_S + 500)
    assert times.closes_due_s == NOW_S + 560


def test_after_an_interruption_a_source_of_closed_klines_alone_shows_by_the_next_one_that_it_is_back(
    times: FeedTimes,
) -> None:
    times.kline_closed(NOW_S, 60, T0)
    times.restart_closes(NOW_S + 500)
    assert times.closes_overdue(NOW_S + 500)
    times.kline_closed(NOW_S + 520, 60, T0 + 9 * MINUTE_MS)
    assert not times.all_old(NOW_S + 580)


def test_stored_klines_make_the_next_close_due_and_nothing_fresh(times: FeedTimes) -> None:
    times.closes_stored(NOW_S, 60, T0)
    assert (times.closes_due_s, times.last_usable_s) == (NOW_S + 60, 0)
    assert not times.closes_overdue(NOW_S + 60 + STALE_S + GRACE_S)
    assert times.closes_overdue(NOW_S + 60 + STALE_S + GRACE_S + 0.1)


def test_stored_klines_of_an_interval_that_has_closed_already_say_nothing_new(times: FeedTimes) -> None:
    times.kline_closed(NOW_S, 60, T0)
    times.closes_stored(NOW_S + 50, 60, T0 + 60_000)
    assert times.closes_due_s == NOW_S + 60
    assert times.closed_intervals == {60: T0}


def test_everything_is_old_once_nothing_usable_has_come_for_the_limit(times: FeedTimes) -> None:
    times.price_usable(NOW_S)
    times.kline_usable(NOW_S + 1)
    assert not times.all_old(NOW_S + 1 + STALE_S)
    assert times.all_old(NOW_S + 1 + STALE_S + 0.1)


def test_a_source_of_closed_klines_alone_is_not_old_between_two_closes(times: FeedTimes) -> None:
    times.kline_closed(NOW_S, 60, T0)
    assert not times.all_old(NOW_S + 60 + STALE_S + GRACE_S)
    assert times.all_old(NOW_S + 60 + STALE_S + GRACE_S + 0.1)


@pytest.mark.parametrize("lane", ["price", "kline"])
def test_with_anything_besides_closed_klines_the_limit_holds_between_two_closes(times: FeedTimes, lane: str) -> None:
    times.kline_closed(NOW_S, 60, T0)
    (times.price_usable if lane == "price" else times.kline_usable)(NOW_S)
    assert times.all_old(NOW_S + STALE_S + 0.1)


@pytest.mark.parametrize("lane", ["price", "kline"])
def test_closed_klines_that_go_on_after_everything_else_has_stopped_are_judged_by_their_closes(
    times: FeedTimes, lane: str
) -> None:
    (times.price_usable if lane == "price" else times.kline_usable)(NOW_S)
    times.kline_closed(NOW_S + STALE_S, 60, T0)
    assert not times.only_closes, "the same silence"
    assert times.all_old(NOW_S + 2 * STALE_S + 0.1)
    times.kline_closed(NOW_S + 60, 60, T0 + MINUTE_MS)
    assert not times.all_old(NOW_S + 119)
    assert times.prices_old(NOW_S + 119)
    assert times.all_old(NOW_S + 120 + STALE_S + GRACE_S + 0.1)


def test_nothing_has_to_come_over_a_connection_until_a_close_is_overdue(times: FeedTimes) -> None:
    assert times.quiet_until_s == 0
    times.kline_closed(NOW_S, 60, T0)
    assert times.quiet_until_s == NOW_S + 60 + STALE_S + GRACE_S
    times.prices_stored = True
    assert times.quiet_until_s == 0, "there may be prices that are lost on their way"
    times.prices_stored = False
    times.kline_usable(NOW_S)
    times.kline_closed(NOW_S + 60, 60, T0 + MINUTE_MS)
    assert times.quiet_until_s == 0, "what else came may be lost on its way"


def test_messages_are_refused_at_present_for_as_long_as_the_limit(times: FeedTimes) -> None:
    assert not times.refuses(NOW_S)
    times.last_refused_s = NOW_S
    assert times.refuses(NOW_S + STALE_S)
    assert not times.refuses(NOW_S + STALE_S + 0.1)


def test_the_limits_can_change(times: FeedTimes) -> None:
    times.price_usable(NOW_S)
    times.configure(10.0, 1.0)
    assert not times.prices_old(NOW_S + 10)
    assert times.allowance_s == 11.0
