"""One series: bars close in order, what comes early waits, what comes late is a correction, holes are noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.market.merge import price
from gateway.market.series import BARS_MAX, News, Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, closed_klines, kline

if TYPE_CHECKING:
    from gateway.model.kline import Kline, KlineFields

NOTHING, CHANGED, CORRECTED = News
GRACE_MS = 2000


def series_after(*numbers: int, size: int = 8) -> Series:
    """A series that has seen these klines close."""
    series = Series("BTCUSDT", INTERVALS["1m"], size)
    for number in numbers:
        series.fold_kline(kline(number, closed=True), at(number + 1))
    return series


def at(minute: float) -> int:
    return T0 + round(minute * MINUTE_MS)


def fold_price(series: Series, minute: float, text: str) -> News:
    return series.fold_price(price(at(minute), text), at(minute))


def fold_diff(series: Series, number: int, minute: float, **fields: Any) -> News:
    return series.fold_diff(at(number), cast("KlineFields", fields), at(minute), at(minute))


def closed(series: Series) -> list[int]:
    return [(known.open_time_ms - T0) // MINUTE_MS for known in series.closed]


def shown(series: Series) -> int | None:
    return (series.forming.open_time_ms - T0) // MINUTE_MS if series.forming else None


def in_order(series: Series) -> int | None:
    known = series.forming_in_order
    return (known.open_time_ms - T0) // MINUTE_MS if known else None


def state(series: Series) -> tuple[object, ...]:
    bars = [bar.value() for bar in series._bars]
    return list(series.closed), series.closed.end, bars, series.gap, series.waits_since_ms


# In order


def test_a_series_without_news_shows_nothing() -> None:
    series = series_after()
    assert state(series) == ([], 0, [], False, None)
    assert series.forming is None


def test_a_forming_kline_is_shown() -> None:
    series = series_after(0)
    assert series.fold_kline(kline(1), at(1.1)) is CHANGED
    assert series.forming == kline(1)
    assert closed(series) == [0]


def test_the_closing_kline_goes_into_the_log_and_the_next_one_is_shown() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    assert series.fold_kline(kline(1, closed=True), at(2)) is CHANGED
    assert (closed(series), shown(series)) == ([0, 1], None)
    assert series.fold_kline(kline(2), at(2.1)) is CHANGED
    assert (closed(series), shown(series)) == ([0, 1], 2)
    assert not series.gap
    assert series.waits_since_ms is None


def test_the_same_kline_again_is_no_news() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    before = state(series)
    assert series.fold_kline(kline(1), at(1.2)) is NOTHING
    assert series.fold_kline(kline(0, closed=True), at(1.2)) is NOTHING
    assert state(series) == before


def test_a_forming_kline_of_a_bar_that_has_closed_is_no_news() -> None:
    series = series_after(0, 1)
    before = state(series)
    assert series.fold_kline(kline(1), at(2.1)) is NOTHING
    assert series.fold_kline(kline(0), at(2.1)) is NOTHING
    assert state(series) == before


def test_a_diff_changes_the_bar_it_is_about() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    assert fold_diff(series, 1, 1.2, close="109") is CHANGED
    assert series.forming == kline(1, "100 110 90 109", event_time_ms=at(1.2))
    assert fold_diff(series, 1, 2, closed=True) is CHANGED
    assert closed(series) == [0, 1]


def test_a_diff_of_an_unknown_bar_or_an_older_one_is_no_news() -> None:
    series = series_after(0)
    series.fold_kline(kline(1, event_time_ms=at(1.5)), at(1.5))
    before = state(series)
    assert fold_diff(series, 0, 1.6, close="109") is NOTHING
    assert fold_diff(series, 2, 1.6, close="109") is NOTHING
    assert fold_diff(series, 1, 1.4, close="109") is NOTHING
    assert state(series) == before


# Prices


def test_a_price_moves_the_shown_bar() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    assert fold_price(series, 1.5, "120") is CHANGED
    assert fold_price(series, 1.6, "120") is NOTHING
    assert series.forming == kline(1, "100 120 90 120", event_time_ms=at(1.6))


def test_a_price_opens_the_bar_when_the_one_before_has_closed() -> None:
    series = series_after(0)
    assert fold_price(series, 1.5, "120") is CHANGED
    assert series.forming == kline(1, "120 120 120 120", provisional=True, event_time_ms=at(1.5))


@pytest.mark.parametrize("minute", [0.5, 0.99999])
def test_a_price_of_a_closed_bar_is_no_news(minute: float) -> None:
    series = series_after(0)
    before = state(series)
    assert fold_price(series, minute, "120") is NOTHING
    assert state(series) == before
    series.fold_kline(kline(1), at(1.1))
    before = state(series)
    assert fold_price(series, minute, "120") is NOTHING
    assert state(series) == before


def test_a_price_after_the_close_waits_for_the_closing_kline() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    assert fold_price(series, 2, "120") is NOTHING
    assert series.forming == kline(1)
    assert series.waits_since_ms == at(2)
    assert not series.gap, "it may just be early"
    assert series.fold_kline(kline(1, closed=True), at(2.01)) is CHANGED
    early = kline(2, "120 120 120 120", provisional=True, event_time_ms=at(2))
    assert state(series) == (closed_klines([0, 1]), 2, [early], False, None)
    assert series.forming == early


def test_a_repeated_price_of_a_waiting_bar_is_no_news() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    fold_price(series, 2.1, "120")
    before = state(series)
    assert fold_price(series, 2.1, "120") is NOTHING
    assert state(series) == before


# The grace


def test_a_bar_that_holds_up_others_is_given_up_when_the_grace_ends() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    fold_price(series, 2, "120")
    fold_price(series, 2.01, "121")
    assert not series.settle(at(2) + GRACE_MS - 1, GRACE_MS)
    assert shown(series) == 1
    assert series.settle(at(2) + GRACE_MS, GRACE_MS)
    assert (closed(series), shown(series)) == ([0], 2)
    assert series.waits_since_ms is None


def test_time_alone_gives_nothing_up() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    assert not series.settle(at(99), GRACE_MS)
    assert shown(series) == 1


def test_without_a_grace_time_nothing_is_given_up() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    fold_price(series, 2, "120")
    assert not series.settle(at(99))
    assert shown(series) == 1


def test_every_bar_given_up_has_its_own_grace() -> None:
    series = series_after(0)
    for minute in (1, 2, 3):
        fold_price(series, minute, "120")
    assert series.settle(at(3), GRACE_MS)
    assert shown(series) == 2
    assert not series.settle(at(3) + GRACE_MS - 1, GRACE_MS)
    assert series.settle(at(3) + GRACE_MS, GRACE_MS)
    assert shown(series) == 3


def test_the_closing_kline_of_a_bar_that_was_given_up_is_a_correction() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    fold_price(series, 2, "120")
    series.settle(at(2.5), GRACE_MS)
    assert series.fold_kline(kline(1, event_time_ms=at(1.9)), at(2.6)) is NOTHING, "a forming one is no news any more"
    assert series.fold_kline(kline(1, closed=True), at(2.6)) is CORRECTED
    assert (closed(series), shown(series)) == ([0, 1], 2)


# Holes


def test_a_kline_of_a_later_bar_proves_that_a_closing_one_was_missed() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    assert state(series) == (closed_klines([0]), 1, [kline(1)], False, None)
    series.fold_kline(kline(2), at(2.1))
    assert series.gap
    assert shown(series) == 1


def test_a_bar_that_does_not_follow_the_newest_closed_kline_is_a_gap() -> None:
    series = series_after(0)
    fold_price(series, 3, "120")
    assert series.gap
    assert shown(series) == 3, "there is nothing better to show"


def test_a_closed_kline_behind_a_hole_waits_unseen_for_what_is_missing() -> None:
    series = series_after(0)
    series.fold_kline(kline(2, closed=True), at(3))
    assert (closed(series), shown(series), series.gap) == ([0], None, True)
    assert series.waits_since_ms == at(3)
    assert series.fold_kline(kline(1, closed=True), at(3.01)) is CHANGED, "nobody has seen anything later"
    assert state(series) == (closed_klines([0, 1, 2]), 3, [], True, None)


def test_a_closed_kline_behind_a_hole_and_before_the_bar_that_is_shown_waits_for_what_is_missing() -> None:
    series = series_after(0)
    fold_price(series, 3, "120")
    assert series.fold_kline(kline(2, closed=True), at(3.1)) is CHANGED
    assert (closed(series), shown(series), series.gap) == ([0], None, True)
    assert series.reseed(closed_klines([0, 1]), at(3.2)) is CORRECTED
    assert (closed(series), shown(series), series.gap) == ([0, 1, 2], 3, False)


def test_a_closed_kline_before_the_bar_that_is_shown_is_a_correction_when_its_grace_is_over_too() -> None:
    series = series_after(0)
    fold_price(series, 3, "120")
    series.fold_kline(kline(2, closed=True), at(3.1))
    assert series.settle(at(3.1) + GRACE_MS, GRACE_MS) is CORRECTED
    assert (closed(series), shown(series)) == ([0, 2], 3)


def test_a_price_does_not_prove_that_the_bars_before_it_are_stored() -> None:
    series = series_after(0)
    fold_price(series, 3, "120")
    series.reseed(closed_klines([0]), at(3.1))
    assert not series.gap
    fold_price(series, 3, "121")
    assert not series.gap, "the store has nothing new to say"
    series.fold_kline(kline(2, closed=True), at(3.2))
    assert (closed(series), series.gap) == ([0], True), "but now it may"
    series.reseed(closed_klines([0, 2]), at(3.3))
    assert (closed(series), shown(series), series.gap) == ([0, 2], 3, False), "the hole is the source's own"


def test_a_closed_kline_behind_a_hole_waits_no_longer_than_the_grace() -> None:
    series = series_after(0)
    series.fold_kline(kline(2, closed=True), at(3))
    assert not series.settle(at(3) + GRACE_MS - 1, GRACE_MS)
    assert series.settle(at(3) + GRACE_MS, GRACE_MS)
    assert closed(series) == [0, 2]


def test_the_next_price_waits_behind_a_closed_kline_behind_a_hole() -> None:
    series = series_after(0)
    series.fold_kline(kline(2, closed=True), at(3))
    assert fold_price(series, 2.5, "120") is NOTHING
    assert fold_price(series, 3.1, "120") is NOTHING
    assert shown(series) is None
    assert series.settle(at(3) + GRACE_MS, GRACE_MS)
    assert (closed(series), shown(series)) == ([0, 2], 3)


def test_a_closed_kline_that_was_missing_is_put_in_its_place() -> None:
    series = series_after(0, 1)
    series.fold_kline(kline(3, closed=True), at(4))
    series.settle(at(9), GRACE_MS)
    assert closed(series) == [0, 1, 3]
    assert series.fold_kline(kline(2, closed=True), at(9.1)) is CORRECTED
    assert closed(series) == [0, 1, 2, 3]


def test_a_closed_kline_older_than_the_log_is_history() -> None:
    series = series_after(5, 6)
    before = state(series)
    assert series.fold_kline(kline(4, closed=True), at(7.1)) is NOTHING
    assert state(series) == before


def test_a_missing_kline_finds_no_room_behind_a_log_full_of_newer_ones() -> None:
    series = series_after(0, size=2)
    for number in (2, 3):
        series.fold_kline(kline(number, closed=True), at(number + 1))
        series.settle(at(number + 2), GRACE_MS)
    before = state(series)
    assert closed(series) == [2, 3]
    assert series.fold_kline(kline(1, closed=True), at(5)) is NOTHING
    assert state(series) == before


def test_a_closed_kline_that_was_rewritten_is_a_correction() -> None:
    series = series_after(0, 1)
    better = kline(0, "100 112 90 105", closed=True, event_time_ms=at(2.5))
    assert series.fold_kline(better, at(2.5)) is CORRECTED
    assert list(series.closed) == [better, kline(1, closed=True)]
    assert series.fold_kline(better, at(2.6)) is NOTHING


def test_bars_behind_an_open_one_are_limited() -> None:
    series = series_after(0)
    for number in range(1, BARS_MAX + 1):
        series.fold_kline(kline(number), at(number))
    before = state(series)
    assert series.fold_kline(kline(BARS_MAX + 1), at(99)) is NOTHING
    assert fold_price(series, 99, "120") is NOTHING
    assert state(series) == before
    assert fold_price(series, BARS_MAX + 0.5, "120") is NOTHING
    assert series._bars[-1].value() == kline(BARS_MAX, "100 120 90 120", event_time_ms=at(BARS_MAX + 0.5))


# In order, for readers that take nothing back


def test_nothing_is_in_order_where_nothing_is_shown() -> None:
    assert in_order(series_after()) is None
    assert in_order(series_after(0)) is None


def test_a_bar_that_the_source_speaks_of_is_in_order_once_the_one_before_has_closed() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    series.fold_kline(kline(2), at(2.1))
    assert in_order(series) == 1
    series.settle(at(2.1) + GRACE_MS, GRACE_MS)
    assert shown(series) == 2
    assert in_order(series) is None, "bar 1 still has to close"
    series.fold_kline(kline(1, closed=True), at(2.2))
    assert series.forming_in_order == kline(2)


def test_a_closed_kline_behind_a_hole_is_not_in_order() -> None:
    series = series_after(0)
    series.fold_kline(kline(2, closed=True), at(3))
    assert in_order(series) is None


def test_a_bar_of_prices_alone_is_not_in_order_before_the_source_has_spoken_of_it() -> None:
    series = series_after(0)
    fold_price(series, 1.1, "120")
    assert shown(series) == 1
    assert in_order(series) is None
    series.fold_kline(kline(1), at(1.2))
    assert in_order(series) == 1


def test_a_source_that_speaks_of_bars_only_when_they_close_leaves_prices_to_be_in_order() -> None:
    series = series_after(0)
    for number in (1, 2):
        fold_price(series, number + 0.1, "120")
        series.fold_kline(kline(number, closed=True), at(number + 1))
    fold_price(series, 3.1, "120")
    assert series.forming_in_order == kline(3, "120 120 120 120", provisional=True, event_time_ms=at(3.1))
    series.fold_kline(kline(3), at(3.2))
    series.fold_kline(kline(3, closed=True), at(4))
    fold_price(series, 4.1, "120")
    assert in_order(series) is None, "it has spoken of an open one since"


def test_a_source_that_was_silent_for_a_bar_without_prices_has_not_shown_what_it_does() -> None:
    series = series_after(0, 1)
    fold_price(series, 2.1, "120")
    assert in_order(series) is None


# The store read again


def test_the_store_fills_a_series_that_nothing_is_known_of() -> None:
    series = series_after()
    assert series.reseed(closed_klines([3, 4]), at(5)) is CORRECTED
    assert (closed(series), shown(series), series.gap) == ([3, 4], None, False)


def test_the_store_goes_before_the_live_bar() -> None:
    series = series_after()
    series.fold_kline(kline(5), at(5.1))
    assert series.reseed(closed_klines([3, 4]), at(5.2)) is CORRECTED
    assert (closed(series), shown(series)) == ([3, 4], 5)


def test_the_store_closes_a_bar_whose_closing_kline_was_missed() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    series.fold_kline(kline(3), at(3.1))
    assert series.gap
    assert series.reseed(closed_klines([0, 1, 2]), at(3.2)) is CHANGED
    assert (closed(series), shown(series), series.gap) == ([0, 1, 2], 3, False)
    assert series.waits_since_ms is None


def test_an_outage_longer_than_the_bars_that_may_wait_loses_nothing() -> None:
    series = series_after(0, size=BARS_MAX * 4)
    series.fold_kline(kline(1), at(1.1))
    after = BARS_MAX * 3
    series.fold_kline(kline(after), at(after))
    assert series.reseed(closed_klines(range(after)), at(after)) is CHANGED
    assert (closed(series), shown(series)) == (list(range(after)), after)


def test_the_store_goes_on_after_the_bar_that_was_shown() -> None:
    series = series_after(0)
    series.fold_kline(kline(1), at(1.1))
    assert series.reseed(closed_klines([0, 1, 2, 3]), at(4.1)) is CHANGED
    assert (closed(series), shown(series), series.gap) == ([0, 1, 2, 3], None, False)


def test_what_the_store_puts_before_a_bar_already_shown_is_a_correction() -> None:
    series = series_after(0)
    series.fold_kline(kline(3), at(3.1))
    assert shown(series) == 3
    assert series.reseed(closed_klines([0, 1, 2]), at(3.2)) is CORRECTED
    assert (closed(series), shown(series)) == ([0, 1, 2], 3)


def test_what_the_store_has_and_nobody_had_yet_is_news() -> None:
    series = series_after(0)
    assert series.reseed(closed_klines([0, 1, 2]), at(3.2)) is CHANGED
    assert (closed(series), shown(series)) == ([0, 1, 2], None)


def test_the_store_closes_the_only_bar_of_a_series_without_a_log() -> None:
    series = series_after()
    series.fold_kline(kline(4), at(4.1))
    assert series.reseed(closed_klines([3, 4, 5]), at(6)) is CORRECTED
    assert (closed(series), shown(series)) == ([3, 4, 5], None)


def test_a_hole_that_the_store_has_too_is_none() -> None:
    series = series_after(0)
    series.fold_kline(kline(2, closed=True), at(3))
    assert series.reseed(closed_klines([0]), at(3.1)) is CHANGED
    assert (closed(series), series.gap) == ([0, 2], False)
    assert series.fold_kline(kline(3), at(3.2)) is CHANGED
    assert not series.gap


def test_a_store_that_lags_behind_does_not_stop_the_live_bar() -> None:
    series = series_after(0)
    fold_price(series, 2, "120")
    assert series.reseed(closed_klines([0]), at(2.1)) is NOTHING
    assert (closed(series), shown(series), series.gap) == ([0], 2, False)
    assert series.fold_kline(kline(1, closed=True), at(2.2)) is CORRECTED


def test_what_the_store_says_again_is_no_news() -> None:
    series = series_after(0, 1)
    series.fold_kline(kline(2), at(2.1))
    before = state(series)
    stored: list[Kline] = [known._replace(event_time_ms=0) for known in closed_klines([0, 1])]
    assert series.reseed(stored, at(2.2)) is NOTHING
    assert state(series) == before


def test_an_empty_store_settles_that_there_is_nothing_to_wait_for() -> None:
    series = series_after()
    assert series.reseed([], at(1)) is NOTHING
    assert state(series) == ([], 0, [], False, None)


def test_the_word_on_the_shown_bar_is_known_while_it_is_open() -> None:
    series = Series("BTCUSDT", INTERVALS["1m"], 4)
    series.fold_kline(kline(1), T0)
    series.fold_price(price(T0 + MINUTE_MS + 30_000, "500"), T0)
    assert series.word == kline(1)
    words = [series.word]
    for number in (1, 3):
        # The last one waits behind a hole.
        series.fold_kline(kline(number, closed=True), T0)
        words.append(series.word)
    assert words == [kline(1), None, None]
