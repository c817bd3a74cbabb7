"""One series: klines close in order, what comes early waits, what comes late is a correction, gaps are noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.market.change import Change
from gateway.market.merge import price
from gateway.market.series import WAITING_MAX, Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, closed_klines, kline

if TYPE_CHECKING:
    from gateway.model.kline import Kline, KlineFields

UNCHANGED, CHANGED, CORRECTED = Change
GRACE_MS = 2000


def series_after(*numbers: int, size: int = 8) -> Series:
    """A series that has seen these klines close."""
    series = Series("BTCUSDT", INTERVALS["1m"], size)
    for number in numbers:
        series.apply_kline(kline(number, closed=True), at(number + 1))
    return series


def at(minute: float) -> int:
    return T0 + round(minute * MINUTE_MS)


def apply_price(series: Series, minute: float, text: str) -> Change:
    return series.apply_price(price(at(minute), text), at(minute))


def apply_delta(series: Series, number: int, minute: float, **fields: Any) -> Change:
    return series.apply_delta(at(number), cast("KlineFields", fields), at(minute), at(minute))


def closed(series: Series) -> list[int]:
    return [(known.open_time_ms - T0) // MINUTE_MS for known in series.closed]


def shown(series: Series) -> int | None:
    return (series.forming.open_time_ms - T0) // MINUTE_MS if series.forming else None


def of_source(series: Series) -> int | None:
    known = series.forming_of_source
    return (known.open_time_ms - T0) // MINUTE_MS if known else None


def state(series: Series) -> tuple[object, ...]:
    klines = [state.value() for state in series._states]
    return list(series.closed), series.closed.end, klines, series.gap, series.waiting_since_ms


# In order


def test_a_series_without_updates_shows_nothing() -> None:
    series = series_after()
    assert state(series) == ([], 0, [], False, None)
    assert series.forming is None


def test_a_forming_kline_is_shown() -> None:
    series = series_after(0)
    assert series.apply_kline(kline(1), at(1.1)) is CHANGED
    assert series.forming == kline(1)
    assert closed(series) == [0]


def test_the_closing_kline_goes_into_the_log_and_the_next_one_is_shown() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    assert series.apply_kline(kline(1, closed=True), at(2)) is CHANGED
    assert (closed(series), shown(series)) == ([0, 1], None)
    assert series.apply_kline(kline(2), at(2.1)) is CHANGED
    assert (closed(series), shown(series)) == ([0, 1], 2)
    assert not series.gap
    assert series.waiting_since_ms is None


def test_the_same_kline_again_changes_nothing() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    before = state(series)
    assert series.apply_kline(kline(1), at(1.2)) is UNCHANGED
    assert series.apply_kline(kline(0, closed=True), at(1.2)) is UNCHANGED
    assert state(series) == before


def test_a_forming_kline_of_a_kline_that_has_closed_changes_nothing() -> None:
    series = series_after(0, 1)
    before = state(series)
    assert series.apply_kline(kline(1), at(2.1)) is UNCHANGED
    assert series.apply_kline(kline(0), at(2.1)) is UNCHANGED
    assert state(series) == before


def test_a_delta_changes_the_kline_it_is_about() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    assert apply_delta(series, 1, 1.2, close="109") is CHANGED
    assert series.forming == kline(1, "100 110 90 109", event_time_ms=at(1.2))
    assert apply_delta(series, 1, 2, closed=True) is CHANGED
    assert closed(series) == [0, 1]


def test_a_delta_of_an_unknown_kline_or_an_older_one_changes_nothing() -> None:
    series = series_after(0)
    series.apply_kline(kline(1, event_time_ms=at(1.5)), at(1.5))
    before = state(series)
    assert apply_delta(series, 0, 1.6, close="109") is UNCHANGED
    assert apply_delta(series, 2, 1.6, close="109") is UNCHANGED
    assert apply_delta(series, 1, 1.4, close="109") is UNCHANGED
    assert state(series) == before


# Prices


def test_a_price_moves_the_shown_kline() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    assert apply_price(series, 1.5, "120") is CHANGED
    assert apply_price(series, 1.6, "120") is UNCHANGED
    assert series.forming == kline(1, "100 120 90 120", event_time_ms=at(1.6))


def test_a_price_opens_the_kline_when_the_one_before_has_closed() -> None:
    series = series_after(0)
    assert apply_price(series, 1.5, "120") is CHANGED
    assert series.forming == kline(1, "120 120 120 120", provisional=True, event_time_ms=at(1.5))


@pytest.mark.parametrize("minute", [0.5, 0.99999])
def test_a_price_of_a_closed_kline_changes_nothing(minute: float) -> None:
    series = series_after(0)
    before = state(series)
    assert apply_price(series, minute, "120") is UNCHANGED
    assert state(series) == before
    series.apply_kline(kline(1), at(1.1))
    before = state(series)
    assert apply_price(series, minute, "120") is UNCHANGED
    assert state(series) == before


def test_a_price_after_the_close_waits_for_the_closing_kline() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    assert apply_price(series, 2, "120") is UNCHANGED
    assert series.forming == kline(1)
    assert series.waiting_since_ms == at(2)
    assert not series.gap, "it may just be early"
    assert series.apply_kline(kline(1, closed=True), at(2.01)) is CHANGED
    early = kline(2, "120 120 120 120", provisional=True, event_time_ms=at(2))
    assert state(series) == (closed_klines([0, 1]), 2, [early], False, None)
    assert series.forming == early


def test_a_repeated_price_of_a_waiting_kline_changes_nothing() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    apply_price(series, 2.1, "120")
    before = state(series)
    assert apply_price(series, 2.1, "120") is UNCHANGED
    assert state(series) == before


# The grace


def test_a_kline_that_holds_up_others_is_given_up_when_the_grace_ends() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    apply_price(series, 2, "120")
    apply_price(series, 2.01, "121")
    assert not series.settle(at(2) + GRACE_MS - 1, GRACE_MS)
    assert shown(series) == 1
    assert series.settle(at(2) + GRACE_MS, GRACE_MS)
    assert (closed(series), shown(series)) == ([0], 2)
    assert series.waiting_since_ms is None


def test_time_alone_gives_nothing_up() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    assert not series.settle(at(99), GRACE_MS)
    assert shown(series) == 1


def test_without_a_grace_time_nothing_is_given_up() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    apply_price(series, 2, "120")
    assert not series.settle(at(99))
    assert shown(series) == 1


def test_every_kline_given_up_has_its_own_grace() -> None:
    series = series_after(0)
    for minute in (1, 2, 3):
        apply_price(series, minute, "120")
    assert series.settle(at(3), GRACE_MS)
    assert shown(series) == 2
    assert not series.settle(at(3) + GRACE_MS - 1, GRACE_MS)
    assert series.settle(at(3) + GRACE_MS, GRACE_MS)
    assert shown(series) == 3


def test_the_closing_kline_of_a_kline_that_was_given_up_is_a_correction() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    apply_price(series, 2, "120")
    series.settle(at(2.5), GRACE_MS)
    assert series.apply_kline(kline(1, event_time_ms=at(1.9)), at(2.6)) is UNCHANGED, (
        "a forming one changes nothing any more"
    )
    assert series.apply_kline(kline(1, closed=True), at(2.6)) is CORRECTED
    assert (closed(series), shown(series)) == ([0, 1], 2)


# Holes


def test_a_kline_of_a_later_kline_proves_that_a_closing_one_was_missed() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    assert state(series) == (closed_klines([0]), 1, [kline(1)], False, None)
    series.apply_kline(kline(2), at(2.1))
    assert series.gap
    assert shown(series) == 1


def test_a_kline_that_does_not_follow_the_newest_closed_kline_is_a_gap() -> None:
    series = series_after(0)
    apply_price(series, 3, "120")
    assert series.gap
    assert shown(series) == 3, "there is nothing better to show"


def test_a_closed_kline_behind_a_hole_waits_unseen_for_what_is_missing() -> None:
    series = series_after(0)
    series.apply_kline(kline(2, closed=True), at(3))
    assert (closed(series), shown(series), series.gap) == ([0], None, True)
    assert series.waiting_since_ms == at(3)
    assert series.apply_kline(kline(1, closed=True), at(3.01)) is CHANGED, "nobody has seen anything later"
    assert state(series) == (closed_klines([0, 1, 2]), 3, [], True, None)


def test_closed_kline_behind_a_gap_waits_for_the_missing_one() -> None:
    series = series_after(0)
    apply_price(series, 3, "120")
    assert series.apply_kline(kline(2, closed=True), at(3.1)) is CHANGED
    assert (closed(series), shown(series), series.gap) == ([0], None, True)
    assert series.reseed(closed_klines([0, 1]), at(3.2)) is CORRECTED
    assert (closed(series), shown(series), series.gap) == ([0, 1, 2], 3, False)


def test_closed_kline_before_the_shown_one_is_a_correction_after_its_grace_too() -> None:
    series = series_after(0)
    apply_price(series, 3, "120")
    series.apply_kline(kline(2, closed=True), at(3.1))
    assert series.settle(at(3.1) + GRACE_MS, GRACE_MS) is CORRECTED
    assert (closed(series), shown(series)) == ([0, 2], 3)


def test_a_price_does_not_prove_that_the_klines_before_it_are_stored() -> None:
    series = series_after(0)
    apply_price(series, 3, "120")
    series.reseed(closed_klines([0]), at(3.1))
    assert not series.gap
    apply_price(series, 3, "121")
    assert not series.gap, "the store has nothing new to say"
    series.apply_kline(kline(2, closed=True), at(3.2))
    assert (closed(series), series.gap) == ([0], True), "but now it may"
    series.reseed(closed_klines([0, 2]), at(3.3))
    assert (closed(series), shown(series), series.gap) == ([0, 2], 3, False), "the hole is the source's own"


def test_a_closed_kline_behind_a_hole_waits_no_longer_than_the_grace() -> None:
    series = series_after(0)
    series.apply_kline(kline(2, closed=True), at(3))
    assert not series.settle(at(3) + GRACE_MS - 1, GRACE_MS)
    assert series.settle(at(3) + GRACE_MS, GRACE_MS)
    assert closed(series) == [0, 2]


def test_the_first_kline_that_was_shown_may_close_after_all_that_is_known() -> None:
    series = series_after()
    for number in (0, 1):
        series.apply_kline(kline(number), at(number + 0.5))
    assert series.settle(at(1.5) + GRACE_MS, GRACE_MS)
    series.apply_kline(kline(1, closed=True), at(2))
    assert closed(series) == [1]
    assert series.apply_kline(kline(-1, closed=True), at(2)) is UNCHANGED
    assert series.apply_kline(kline(0, closed=True), at(2.1)) is CORRECTED
    assert closed(series) == [0, 1]


def test_the_next_price_waits_behind_a_closed_kline_behind_a_hole() -> None:
    series = series_after(0)
    series.apply_kline(kline(2, closed=True), at(3))
    assert apply_price(series, 2.5, "120") is UNCHANGED
    assert apply_price(series, 3.1, "120") is UNCHANGED
    assert shown(series) is None
    assert series.settle(at(3) + GRACE_MS, GRACE_MS)
    assert (closed(series), shown(series)) == ([0, 2], 3)


def test_a_closed_kline_that_was_missing_is_put_in_its_place() -> None:
    series = series_after(0, 1)
    series.apply_kline(kline(3, closed=True), at(4))
    series.settle(at(9), GRACE_MS)
    assert closed(series) == [0, 1, 3]
    assert series.apply_kline(kline(2, closed=True), at(9.1)) is CORRECTED
    assert closed(series) == [0, 1, 2, 3]


def test_a_closed_kline_older_than_the_log_is_history() -> None:
    series = series_after(5, 6)
    before = state(series)
    assert series.apply_kline(kline(4, closed=True), at(7.1)) is UNCHANGED
    assert state(series) == before


def test_a_missing_kline_finds_no_room_behind_a_log_full_of_newer_ones() -> None:
    series = series_after(0, size=2)
    for number in (2, 3):
        series.apply_kline(kline(number, closed=True), at(number + 1))
        series.settle(at(number + 2), GRACE_MS)
    before = state(series)
    assert closed(series) == [2, 3]
    assert series.apply_kline(kline(1, closed=True), at(5)) is UNCHANGED
    assert state(series) == before


def test_a_closed_kline_that_was_rewritten_is_a_correction() -> None:
    series = series_after(0, 1)
    better = kline(0, "100 112 90 105", closed=True, event_time_ms=at(2.5))
    assert series.apply_kline(better, at(2.5)) is CORRECTED
    assert list(series.closed) == [better, kline(1, closed=True)]
    assert series.apply_kline(better, at(2.6)) is UNCHANGED


def test_klines_behind_an_open_one_are_limited() -> None:
    series = series_after(0)
    for number in range(1, WAITING_MAX + 1):
        series.apply_kline(kline(number), at(number))
    before = state(series)
    assert series.apply_kline(kline(WAITING_MAX + 1), at(99)) is UNCHANGED
    assert apply_price(series, 99, "120") is UNCHANGED
    assert state(series) == before
    assert apply_price(series, WAITING_MAX + 0.5, "120") is UNCHANGED
    assert series._states[-1].value() == kline(WAITING_MAX, "100 120 90 120", event_time_ms=at(WAITING_MAX + 0.5))


# For readers that take nothing back


def test_a_kline_of_prices_alone_is_not_of_the_source_before_the_source_has_spoken_of_it() -> None:
    series = series_after(0)
    apply_price(series, 1.1, "120")
    assert shown(series) == 1
    assert of_source(series) is None
    series.apply_kline(kline(1), at(1.2))
    assert of_source(series) == 1


def test_a_kline_of_some_of_its_parts_is_of_the_source() -> None:
    series = series_after(0)
    series.apply_kline(kline(1, provisional=True), at(1.2))
    assert of_source(series) == 1
    assert series.reached_ms == at(1)


def test_prices_are_of_the_source_where_it_sends_closed_klines_only() -> None:
    series = series_after(0)
    for number in (1, 2):
        apply_price(series, number + 0.1, "120")
        series.apply_kline(kline(number, closed=True), at(number + 1))
    apply_price(series, 3.1, "120")
    assert series.forming_of_source == kline(3, "120 120 120 120", provisional=True, event_time_ms=at(3.1))
    series.apply_kline(kline(3), at(3.2))
    series.apply_kline(kline(3, closed=True), at(4))
    apply_price(series, 4.1, "120")
    assert of_source(series) is None, "it has spoken of an open one since"


def test_source_has_reached_its_newest_kline() -> None:
    series = series_after()
    assert series.reached_ms == 0
    apply_price(series, 0.5, "120")
    assert series.reached_ms == 0, "a price is no kline"
    series.apply_kline(kline(0, closed=True), at(1))
    assert series.reached_ms == at(1)
    series.apply_kline(kline(2), at(2.1))
    apply_price(series, 3.1, "120")
    assert series.reached_ms == at(2)


def test_what_is_missing_before_a_kline_is_settled_once_the_store_has_been_read() -> None:
    series = series_after(0)
    series.apply_kline(kline(2), at(2.1))
    assert not series.is_settled(at(2))
    series.reseed(closed_klines([0]), at(2.2))
    assert series.is_settled(at(2))


@pytest.mark.parametrize(
    ("changes", "seen_ms", "lag_ms"),
    [
        ({}, at(0.5), 29_000),
        ({"event_time_ms": at(0.4)}, at(0.5), 6_000),
        # An event time outside of the kline says when it was sent, not when its prices were.
        ({"event_time_ms": at(90)}, at(90), 89 * MINUTE_MS + 1),
        ({"event_time_ms": 0}, at(0.5), 30_000),
        # The next one may not have closed yet.
        ({"closed": True}, at(1.9), 0),
        ({"closed": True}, at(5), 3 * MINUTE_MS + 1),
    ],
)
def test_lag_is_how_far_the_newest_kline_is_behind(changes: dict[str, Any], seen_ms: int, lag_ms: int) -> None:
    series = series_after()
    series.apply_kline(kline(0, **changes), seen_ms)
    assert series.lag_ms == lag_ms
    series.apply_kline(kline(-1, closed=True), at(30))
    assert series.lag_ms == lag_ms, "an older one says nothing"


def test_a_derived_kline_says_nothing_about_the_lag() -> None:
    series = series_after()
    series.derived_from = "1s"
    series.apply_kline(kline(0), at(9))
    assert series.lag_ms == 0


def test_klines_that_close_before_the_series_is_followed_are_the_past() -> None:
    series = series_after(0, 1)
    assert series.baseline_ms == at(1)
    series.follow()
    series.apply_kline(kline(2, closed=True), at(3))
    assert series.baseline_ms == at(1)


def test_a_kline_that_was_seen_before_it_closed_is_not_the_past() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.5))
    series.apply_kline(kline(1, closed=True), at(2))
    assert series.baseline_ms == at(0)


@pytest.mark.parametrize("lacks_parts", [False, True])
def test_the_first_read_finds_the_past_up_to_the_first_kline_that_was_seen_forming(lacks_parts: bool) -> None:
    series = series_after()
    series.follow()
    series.apply_kline(kline(2, provisional=lacks_parts), at(2.5))
    series.reseed(closed_klines([0, 1, 2]), at(3))
    assert closed(series) == [0, 1, 2]
    assert series.baseline_ms == at(1)


def test_silence_of_the_source_without_prices_proves_nothing() -> None:
    series = series_after(0, 1)
    apply_price(series, 2.1, "120")
    assert of_source(series) is None


# The store read again


def test_the_store_fills_a_series_that_nothing_is_known_of() -> None:
    series = series_after()
    assert series.reseed(closed_klines([3, 4]), at(5)) is CORRECTED
    assert (closed(series), shown(series), series.gap) == ([3, 4], None, False)


def test_the_store_goes_before_the_live_kline() -> None:
    series = series_after()
    series.apply_kline(kline(5), at(5.1))
    assert series.reseed(closed_klines([3, 4]), at(5.2)) is CORRECTED
    assert (closed(series), shown(series)) == ([3, 4], 5)


def test_the_first_read_puts_in_front_what_closed_before_the_feed_brought_some() -> None:
    series = series_after(5)
    end = series.closed.end
    assert (series.was_read, series.reseed(closed_klines([2, 3, 4, 5]), at(6.1))) == (False, CHANGED)
    assert (closed(series), series.closed.end, series.baseline_ms, series.was_read) == ([2, 3, 4, 5], end, at(5), True)
    assert series.reseed(closed_klines([1, 2, 3, 4, 5]), at(6.2)) is UNCHANGED
    assert closed(series) == [2, 3, 4, 5], "what a later read finds in front of it is not missing"


def test_a_kline_that_was_seen_forming_is_not_of_the_past_what_the_first_read_brings_is() -> None:
    series = series_after()
    series.apply_kline(kline(5), at(5.1))
    series.apply_kline(kline(5, closed=True), at(6))
    assert (series.baseline_ms, series.reseed(closed_klines([3, 4]), at(6.1))) == (0, CHANGED)
    assert (closed(series), series.baseline_ms) == ([3, 4, 5], at(4))


def test_the_store_closes_a_kline_whose_closing_kline_was_missed() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    series.apply_kline(kline(3), at(3.1))
    assert series.gap
    assert series.reseed(closed_klines([0, 1, 2]), at(3.2)) is CHANGED
    assert (closed(series), shown(series), series.gap) == ([0, 1, 2], 3, False)
    assert series.waiting_since_ms is None


def test_an_outage_longer_than_the_klines_that_may_wait_loses_nothing() -> None:
    series = series_after(0, size=WAITING_MAX * 4)
    series.apply_kline(kline(1), at(1.1))
    after = WAITING_MAX * 3
    series.apply_kline(kline(after), at(after))
    assert series.reseed(closed_klines(range(after)), at(after)) is CHANGED
    assert (closed(series), shown(series)) == (list(range(after)), after)


def test_the_store_goes_on_after_the_kline_that_was_shown() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.1))
    assert series.reseed(closed_klines([0, 1, 2, 3]), at(4.1)) is CHANGED
    assert (closed(series), shown(series), series.gap) == ([0, 1, 2, 3], None, False)


def test_what_the_store_puts_before_a_kline_already_shown_is_a_correction() -> None:
    series = series_after(0)
    series.apply_kline(kline(3), at(3.1))
    assert shown(series) == 3
    assert series.reseed(closed_klines([0, 1, 2]), at(3.2)) is CORRECTED
    assert (closed(series), shown(series)) == ([0, 1, 2], 3)


def test_what_the_store_has_and_nobody_had_yet_is_a_change() -> None:
    series = series_after(0)
    assert series.reseed(closed_klines([0, 1, 2]), at(3.2)) is CHANGED
    assert (closed(series), shown(series)) == ([0, 1, 2], None)


def test_the_store_closes_the_only_kline_of_a_series_without_a_log() -> None:
    series = series_after()
    series.apply_kline(kline(4), at(4.1))
    assert series.reseed(closed_klines([3, 4, 5]), at(6)) is CORRECTED
    assert (closed(series), shown(series)) == ([3, 4, 5], None)


def test_a_hole_that_the_store_has_too_is_none() -> None:
    series = series_after(0)
    series.apply_kline(kline(2, closed=True), at(3))
    assert series.reseed(closed_klines([0]), at(3.1)) is CHANGED
    assert (closed(series), series.gap) == ([0, 2], False)
    assert series.apply_kline(kline(3), at(3.2)) is CHANGED
    assert not series.gap


def test_a_store_that_lags_behind_does_not_stop_the_live_kline() -> None:
    series = series_after(0)
    apply_price(series, 2, "120")
    assert series.reseed(closed_klines([0]), at(2.1)) is UNCHANGED
    assert (closed(series), shown(series), series.gap) == ([0], 2, False)
    assert series.apply_kline(kline(1, closed=True), at(2.2)) is CORRECTED


def test_what_the_store_says_again_changes_nothing() -> None:
    series = series_after(0, 1)
    series.apply_kline(kline(2), at(2.1))
    before = state(series)
    stored: list[Kline] = [known._replace(event_time_ms=0) for known in closed_klines([0, 1])]
    assert series.reseed(stored, at(2.2)) is UNCHANGED
    assert state(series) == before


def test_an_empty_store_settles_that_there_is_nothing_to_wait_for() -> None:
    series = series_after()
    assert series.reseed([], at(1)) is UNCHANGED
    assert state(series) == ([], 0, [], False, None)


def test_the_source_kline_on_the_shown_kline_is_known_while_it_is_open() -> None:
    series = Series("BTCUSDT", INTERVALS["1m"], 4)
    series.apply_kline(kline(1), T0)
    series.apply_price(price(T0 + MINUTE_MS + 30_000, "500"), T0)
    assert series.source_kline == kline(1)
    words = [series.source_kline]
    for number in (1, 3):
        # The last one waits behind a hole.
        series.apply_kline(kline(number, closed=True), T0)
        words.append(series.source_kline)
    assert words == [kline(1), None, None]


# What turns out to be impossible


def test_klines_after_a_limit_are_dropped_and_the_store_is_to_be_read_again() -> None:
    series = series_after(0, 1)
    series.apply_kline(kline(2), at(2.5))
    series.apply_kline(kline(60), at(2.5))
    series.settle(at(3), GRACE_MS)
    assert shown(series) == 60
    assert series.newest_ms == at(60)
    assert series.drop_after(at(4)) is CORRECTED
    assert (closed(series), shown(series), series.gap) == ([0, 1], None, True)
    assert series.newest_ms == at(1)
    series.apply_kline(kline(3), at(3.5))
    assert shown(series) == 3
    series.apply_kline(kline(2, closed=True), at(3.6))
    assert closed(series) == [0, 1, 2]


def test_a_closed_kline_after_a_limit_is_dropped_and_the_one_that_forms_goes_on() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.5))
    series.apply_kline(kline(50, closed=True), at(1.5))
    assert series.drop_after(at(2)) is CORRECTED
    assert (closed(series), shown(series), series.waiting_since_ms) == ([0], 1, None)
    assert series.apply_kline(kline(1, closed=True), at(2)) is CHANGED
    assert closed(series) == [0, 1]


def test_a_log_that_was_all_impossible_is_empty() -> None:
    series = series_after(50, 51)
    assert series.drop_after(at(2)) is CORRECTED
    assert (closed(series), series.newest_ms, series.baseline_ms) == ([], 0, at(2))
    series.apply_kline(kline(1, closed=True), at(2))
    assert closed(series) == [1]


def test_what_is_possible_stays_as_it_is() -> None:
    series = series_after(0, 1)
    series.apply_kline(kline(2), at(2.5))
    apply_price(series, 3.2, "100")
    before = state(series)
    assert series.drop_after(at(4)) is UNCHANGED
    assert state(series) == before


def test_later_klines_still_wait_after_something_was_dropped() -> None:
    series = series_after(0)
    series.apply_kline(kline(1), at(1.5))
    apply_price(series, 2.1, "100")
    series.apply_kline(kline(90), at(2.1))
    since_ms = series.waiting_since_ms
    assert series.drop_after(at(3)) is CORRECTED
    assert (shown(series), series.waiting_since_ms) == (1, since_ms)


def test_what_prices_alone_have_made_can_be_dropped() -> None:
    series = series_after(0)
    apply_price(series, 1.1, "100")
    assert series.drop_prices()
    assert (closed(series), shown(series)) == ([0], None)
    series.apply_kline(kline(1), at(1.5))
    apply_price(series, 1.6, "100")
    assert not series.drop_prices()
    assert shown(series) == 1


# Reads of the store that take a while


def test_what_the_source_reaches_during_a_read_is_not_settled_by_its_answer() -> None:
    series = series_after(0, 1)
    series.begin_read()
    series.apply_kline(kline(4, closed=True), at(5))
    series.apply_kline(kline(5), at(5.5))
    series.reseed(closed_klines([0, 1]), at(5.5))
    assert (closed(series), series.gap) == ([0, 1], True), "it was asked before 2 and 3 were stored"
    series.begin_read()
    series.reseed(closed_klines([0, 1, 2, 3]), at(5.6))
    assert (closed(series), shown(series), series.gap) == ([0, 1, 2, 3, 4], 5, False)


def test_what_was_known_before_a_read_is_settled_by_its_answer() -> None:
    series = series_after(0, 1)
    series.apply_kline(kline(4, closed=True), at(5))
    series.begin_read()
    series.apply_kline(kline(5), at(5.5))
    series.reseed(closed_klines([0, 1]), at(5.5))
    assert (closed(series), shown(series), series.gap) == ([0, 1, 4], 5, False), "the source has no 2 and 3"


def test_a_price_of_a_later_kline_during_a_read_has_it_read_again() -> None:
    series = series_after(0, 1)
    series.begin_read()
    apply_price(series, 4.5, "100")
    series.reseed(closed_klines([0, 1]), at(4.5))
    assert series.gap
    series.begin_read()
    series.reseed(closed_klines([0, 1]), at(4.6))
    assert not series.gap


# Built of shorter klines


def test_a_built_kline_is_shown_like_the_sources_and_proves_no_gap() -> None:
    series = series_after(0)
    built = kline(1, provisional=True)
    assert not series.is_sent(at(1))
    assert series.apply_built(built, at(1.5)) is CHANGED
    assert series.apply_built(built, at(1.5)) is UNCHANGED
    assert series.forming == series.forming_of_source == series.source_kline == built
    assert series.apply_built(kline(3, provisional=True), at(3.5)) is CHANGED
    assert (shown(series), series.gap) == (1, False)
    series.apply_kline(kline(1, closed=True), at(3.6))
    assert series.sends_closed_only


def test_a_kline_is_sent_once_the_source_has_sent_it_or_a_later_one() -> None:
    series = series_after(0)
    series.apply_kline(kline(2), at(2.1))
    assert [series.is_sent(at(number)) for number in range(4)] == [True, True, True, False]


def test_what_is_built_needs_room_among_those_that_wait() -> None:
    series = series_after(0)
    for number in range(2, WAITING_MAX + 2):
        series.apply_kline(kline(number), at(number))
    assert series.apply_built(kline(WAITING_MAX + 5, provisional=True), at(99)) is UNCHANGED
