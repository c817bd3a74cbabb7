"""Klines in order: a later one waits for the one before it to close, and what cannot be told any more is reported."""

from __future__ import annotations

import pytest

from gateway.market.in_order import KlinesInOrder
from gateway.market.merge import price
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, closed_klines, kline

GRACE_MS = 2000
LOG = 4


class Feed:
    """A series, what happens to it, and what a reader is told."""

    def __init__(self, *, skip: bool = False) -> None:
        self.series = Series("BTCUSDT", INTERVALS["1m"], LOG)
        self.series.follow()
        self.order = KlinesInOrder(self.series, LOG, skip=skip)

    def closes(self, *numbers: int) -> None:
        for number in numbers:
            self.series.apply_kline(kline(number, closed=True), T0 + (number + 1) * MINUTE_MS)

    def forms(self, number: int) -> None:
        self.series.apply_kline(kline(number), T0 + number * MINUTE_MS)

    def gives_up(self) -> None:
        """The series goes on without the kline that has not closed."""
        self.series.settle(T0 + 1000 * MINUTE_MS, GRACE_MS)

    def stores(self, *numbers: int) -> None:
        self.series.reseed(closed_klines(numbers), T0)
        self.series.follow()

    @property
    def told(self) -> list[int]:
        return [(of.open_time_ms - T0) // MINUTE_MS for of in self.order.log]

    @property
    def shown(self) -> int | None:
        forming = self.order.forming
        return None if forming is None else (forming.open_time_ms - T0) // MINUTE_MS


@pytest.fixture
def feed() -> Feed:
    return Feed()


def test_klines_that_close_in_order_are_told_at_once(feed: Feed) -> None:
    feed.closes(0, 1)
    feed.forms(2)
    assert not feed.order.update()
    assert (feed.told, feed.shown, feed.order.waiting) == ([0, 1], 2, False)
    feed.closes(2)
    assert not feed.order.update()
    assert (feed.told, feed.shown) == ([0, 1, 2], None)


def test_a_kline_of_which_nothing_is_new_stays_shown(feed: Feed) -> None:
    feed.forms(0)
    for _ in range(2):
        feed.order.update()
        assert (feed.shown, feed.order.next_ms) == (0, T0)


def test_the_next_kline_waits_for_the_one_that_was_shown_to_close(feed: Feed) -> None:
    feed.forms(0)
    feed.order.update()
    feed.forms(1)
    feed.gives_up()
    assert feed.series.forming == kline(1)
    assert not feed.order.update()
    assert (feed.told, feed.shown, feed.order.waiting) == ([], 0, True)
    feed.closes(0)
    assert not feed.order.update()
    assert (feed.told, feed.shown, feed.order.waiting) == ([0], 1, False)


def test_a_close_waits_for_the_close_before_it(feed: Feed) -> None:
    feed.closes(0)
    feed.order.update()
    feed.closes(2)
    feed.gives_up()
    feed.forms(3)
    assert not feed.order.update()
    assert (feed.told, feed.shown, feed.order.waiting) == ([0], None, True)
    feed.closes(1)
    assert not feed.order.update()
    assert (feed.told, feed.shown) == ([0, 1, 2], 3)


def test_a_close_that_comes_after_its_turn_is_lacking(feed: Feed) -> None:
    feed.forms(0)
    feed.order.update()
    feed.forms(1)
    feed.gives_up()
    assert not feed.order.update(go_on=True)
    assert (feed.told, feed.shown, feed.order.waiting) == ([], 1, False)
    feed.closes(0)
    assert feed.order.update()
    assert (feed.told, feed.shown) == ([], 1)
    feed.closes(1)
    assert not feed.order.update(), "it is reported once"
    assert feed.told == [1]


def test_goes_on_past_every_kline_that_has_not_closed(feed: Feed) -> None:
    feed.closes(0)
    feed.order.update()
    for number in (2, 4):
        feed.closes(number)
        feed.gives_up()
    feed.forms(6)
    feed.gives_up()
    assert not feed.order.update(go_on=True)
    assert (feed.told, feed.shown) == ([0, 2, 4], 6)


def test_the_past_is_not_told(feed: Feed) -> None:
    feed.stores(0, 1)
    feed.order.update()
    assert (feed.told, feed.order.next_ms) == ([], T0 + 2 * MINUTE_MS)
    feed.closes(2)
    feed.order.update()
    assert feed.told == [2]


def test_what_was_shown_is_not_the_past(feed: Feed) -> None:
    feed.forms(0)
    feed.order.update()
    feed.series.baseline_ms = T0 + MINUTE_MS
    feed.closes(0)
    feed.order.update()
    assert feed.told == [0]


def test_a_kline_of_the_past_that_turns_up_is_not_lacking(feed: Feed) -> None:
    feed.stores(0, 2)
    feed.order.update()
    feed.closes(1)
    assert not feed.order.update()
    assert feed.told == []


def test_a_correction_of_what_was_told_changes_nothing(feed: Feed) -> None:
    feed.closes(0)
    feed.order.update()
    feed.series.apply_kline(kline(0, closed=True, trades=99, event_time_ms=T0 + 10 * MINUTE_MS), T0 + 10 * MINUTE_MS)
    assert not feed.order.update()
    assert list(feed.order.log) == closed_klines([0])


def test_what_was_told_and_has_been_dropped_is_lacking(feed: Feed) -> None:
    feed.closes(0)
    feed.order.update()
    feed.closes(100)
    feed.gives_up()
    feed.forms(101)
    feed.order.update(go_on=True)
    assert (feed.told, feed.shown) == ([0, 100], 101)
    feed.series.drop_after(T0 + 2 * MINUTE_MS)
    assert feed.order.update()
    assert (feed.told, feed.shown) == ([0], None)
    feed.closes(1)
    assert not feed.order.update()
    assert feed.told == [0, 1]


def test_restart_begins_at_the_newest_kline_of_the_source(feed: Feed) -> None:
    feed.closes(0)
    feed.order.update()
    feed.forms(1)
    feed.order.update()
    feed.forms(3)
    feed.gives_up()
    feed.order.restart()
    assert (feed.told, feed.shown, feed.order.waiting) == ([0], 3, False)
    feed.closes(1)
    assert not feed.order.update(), "nobody was waiting for it"


def test_more_closes_than_the_series_keeps_are_lacking(feed: Feed) -> None:
    feed.closes(0)
    feed.order.update()
    feed.closes(*range(1, LOG + 2))
    assert feed.order.update()
    assert feed.told == [2, 3, 4, 5]


def test_a_waiting_close_that_the_series_drops_is_lacking(feed: Feed) -> None:
    feed.closes(0)
    feed.order.update()
    for number in range(2, LOG + 3):
        feed.closes(number)
        feed.gives_up()
        assert feed.order.update() is (number == LOG + 2)
    assert feed.told == [3, 4, 5, 6]


def test_prices_alone_do_not_prove_that_the_kline_before_has_closed(feed: Feed) -> None:
    for number in (0, 1):
        at_ms = T0 + number * MINUTE_MS + 5000
        feed.series.apply_price(price(at_ms, "120"), at_ms)
        feed.closes(number)
        feed.order.update()
    assert feed.series.sends_closed_only
    at_ms = T0 + 3 * MINUTE_MS + 5000
    feed.series.apply_price(price(at_ms, "120"), at_ms)
    feed.gives_up()
    for go_on in (False, True):
        feed.order.update(go_on=go_on)
        assert (feed.told, feed.shown, feed.order.waiting) == ([0, 1], None, False)
    feed.closes(2)
    feed.order.update()
    assert (feed.told, feed.shown) == ([0, 1, 2], 3)


class TestSkip:
    """A source that sends no kline for a time without trades."""

    def test_does_not_wait_for_a_kline_that_the_store_lacks_too(self) -> None:
        feed = Feed(skip=True)
        feed.closes(0)
        feed.order.update()
        feed.forms(2)
        feed.order.update()
        assert (feed.shown, feed.order.waiting) == (None, True)
        feed.stores(0)
        feed.order.update()
        assert (feed.told, feed.shown, feed.order.waiting) == ([0], 2, False)

    def test_does_not_take_a_kline_that_has_closed_for_one_that_is_missing(self) -> None:
        feed = Feed(skip=True)
        feed.forms(0)
        feed.order.update()
        feed.closes(0)
        feed.stores(0, 2)
        feed.closes(2)
        feed.order.update()
        assert (feed.told, feed.order.waiting) == ([0, 2], False)

    def test_waits_for_a_kline_that_was_shown(self) -> None:
        feed = Feed(skip=True)
        feed.forms(0)
        feed.order.update()
        feed.forms(1)
        feed.stores()
        feed.gives_up()
        feed.order.update()
        assert (feed.shown, feed.order.waiting) == (0, True)


def test_what_was_told_is_not_missing_where_the_series_holds_more_than_its_readers() -> None:
    feed = Feed()
    feed.series = Series("BTCUSDT", INTERVALS["1m"], 5 * LOG)
    feed.series.follow()
    feed.order = KlinesInOrder(feed.series, LOG)
    for number in range(4 * LOG):
        feed.closes(number)
        assert not feed.order.update()
    assert feed.told == list(range(4 * LOG))
