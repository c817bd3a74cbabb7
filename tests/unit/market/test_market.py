"""All symbols' state: what an update changes and what it does not, and what is reported as changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import MarketConfig
from gateway.market.aggregate import Parts, aggregate_closed
from gateway.market.market import Market
from gateway.market.state import Changes, Jump
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline
from tests.builders import (
    MINUTE_MS,
    T0,
    closed_klines,
    kline,
    kline_delta,
    kline_update,
    ticker,
    ticker_delta,
    ticker_update,
)

if TYPE_CHECKING:
    from gateway.market.series import Series
    from gateway.model.kline import KlineDelta, KlineUpdate
    from gateway.model.ticker import TickerUpdate

GRACE_MS = 2000
UNKNOWN_AFTER_MS = 3000


@pytest.fixture
def market() -> Market:
    return Market(
        MarketConfig(intervals=("1m", "5m"), close_grace_ms=GRACE_MS, unknown_after_s=UNKNOWN_AFTER_MS / 1000),
        log_size=4,
    )


def at(minute: float) -> int:
    return T0 + round(minute * MINUTE_MS)


def series_of(market: Market, interval: str = "1m") -> Series:
    series = market.series("BTCUSDT", interval)
    assert series is not None
    return series


def names(changes: Changes) -> dict[str, set[str]]:
    """What changed, in words."""
    return {
        "tickers": {state.symbol for state in changes.tickers},
        "series": {f"{series.symbol}:{series.interval.name}" for series in changes.series},
        "corrected": {f"{series.symbol}:{series.interval.name}" for series in changes.corrected},
        "gaps": {f"{series.symbol}:{series.interval.name}" for series in changes.gaps},
    }


def changed(market: Market) -> dict[str, set[str]]:
    """What changed since the last time; what did not is left out."""
    return {what: which for what, which in names(market.take_changes()).items() if which}


# Nothing heard yet


def test_an_empty_market_knows_nobody(market: Market) -> None:
    assert not market.has_symbols
    assert market.symbols() == []
    assert not market.has_data("BTCUSDT")
    assert market.ticker("BTCUSDT") is None
    assert market.forming("BTCUSDT", "1m") is None
    assert market.closed("BTCUSDT", "1m") == ()
    assert market.series("BTCUSDT", "1m") is None
    assert not market.take_changes()


def test_a_symbol_that_somebody_asked_for_is_not_known_by_that(market: Market) -> None:
    state = market.get_or_create("BTCUSDT")
    assert market.get_or_create("BTCUSDT") is state
    assert set(state.series) == {"1m", "5m"}
    assert not market.has_symbols
    assert not market.has_data("BTCUSDT")
    assert market.symbols() == []
    assert market.ticker("BTCUSDT") is None
    assert market.tickers() == []
    assert market.forming("BTCUSDT", "1m") is None


def test_an_expected_symbol_becomes_known_with_its_first_updates(market: Market) -> None:
    state = market.get_or_create("BTCUSDT")
    market.apply(ticker_update("100"), T0)
    assert market.has_data("BTCUSDT")
    assert market.get_or_create("BTCUSDT") is state


def test_the_list_of_symbols_is_known_once_all_is_read_and_there_is_one(market: Market) -> None:
    market.apply(ticker_update("100"), T0)
    assert not market.has_symbols
    market.read = True
    assert market.has_symbols


def test_of_an_empty_store_nobody_can_say_which_symbols_there_are(market: Market) -> None:
    market.read = True
    market.advance(at(1))
    market.advance(at(9))
    assert not market.has_symbols
    assert not market.is_unknown("ETHUSDT")


def test_symbol_is_unknown_once_all_is_read_and_none_has_been_new_for_a_while(market: Market) -> None:
    market.apply(ticker_update("100"), T0)
    market.advance(T0)
    market.advance(at(1))
    assert not market.is_unknown("ETHUSDT"), "more may be stored"
    market.read = True
    assert market.is_unknown("ETHUSDT")
    assert not market.is_unknown("BTCUSDT")
    market.apply(ticker_update("100", symbol="XRPUSDT"), at(1))
    assert not market.is_unknown("ETHUSDT"), "one is new: others may follow"
    market.advance(at(1))
    market.advance(at(1) + UNKNOWN_AFTER_MS - 1)
    assert not market.is_unknown("ETHUSDT")
    market.apply(ticker_update("101", at(1), symbol="XRPUSDT"), at(1))
    market.advance(at(1) + UNKNOWN_AFTER_MS)
    assert market.is_unknown("ETHUSDT"), "updates of one that is known does not count"


# Tickers


def test_a_ticker_sets_the_last_price_and_moves_the_kline_of_every_interval(market: Market) -> None:
    market.apply(ticker_update("100", at(0.5), high="110", trades=7), at(0.5))
    assert market.ticker("BTCUSDT") == ticker("100", high="110", trades=7, event_time_ms=at(0.5))
    for interval in ("1m", "5m"):
        assert market.forming("BTCUSDT", interval) == kline(
            0, "100 100 100 100", interval=interval, provisional=True, event_time_ms=at(0.5)
        )
    assert changed(market) == {"tickers": {"BTCUSDT"}, "series": {"BTCUSDT:1m", "BTCUSDT:5m"}}


def test_symbols_are_listed_in_order_and_do_not_touch_each_other(market: Market) -> None:
    market.apply(ticker_update("2", symbol="ETHUSDT"), T0)
    market.apply(ticker_update("1", symbol="BTCUSDT"), T0)
    assert market.symbols() == ["BTCUSDT", "ETHUSDT"]
    assert {known.symbol: known.last for known in market.tickers()} == {"BTCUSDT": "1", "ETHUSDT": "2"}
    market.take_changes()
    market.apply(ticker_update("3", T0 + 1, symbol="ETHUSDT"), T0)
    assert changed(market) == {"tickers": {"ETHUSDT"}, "series": {"ETHUSDT:1m", "ETHUSDT:5m"}}
    assert market.ticker("BTCUSDT") == ticker("1")


def test_a_delta_changes_its_fields_and_keeps_the_others(market: Market) -> None:
    market.apply(ticker_update("100", at(0.5), high="110", low="90"), at(0.5))
    market.take_changes()
    market.apply(ticker_delta(at(0.6), high="120"), at(0.6))
    assert market.ticker("BTCUSDT") == ticker("100", high="120", low="90", event_time_ms=at(0.6))
    assert changed(market) == {"tickers": {"BTCUSDT"}}, "without a price no state moves"


def test_ticker_delta_of_an_unknown_ticker_is_not_applicable_and_changes_nothing(market: Market) -> None:
    market.get_or_create("ETHUSDT")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert not market.apply(ticker_delta(symbol=symbol, high="120"), T0)
    assert market.symbols() == []
    assert market.ticker("ETHUSDT") is None
    assert not market.take_changes()


def test_the_ticker_ends_at_the_newest_event_whatever_the_order(market: Market) -> None:
    for second, last in ((3, "103"), (1, "101"), (2, "102")):
        market.apply(ticker_update(last, T0 + second * 1000), T0 + 4000)
    assert market.ticker("BTCUSDT") == ticker("103", event_time_ms=T0 + 3000)
    assert market.forming("BTCUSDT", "1m") == kline(0, "101 103 101 103", provisional=True, event_time_ms=T0 + 3000)


def test_an_older_ticker_changes_no_figure_but_widens_the_kline(market: Market) -> None:
    market.apply(ticker_update("100", T0 + 2000, high="110"), T0)
    market.take_changes()
    market.apply(ticker_update("105", T0 + 1000, high="999"), T0)
    assert market.ticker("BTCUSDT") == ticker("100", high="110", event_time_ms=T0 + 2000)
    assert changed(market) == {"series": {"BTCUSDT:1m", "BTCUSDT:5m"}}
    assert market.forming("BTCUSDT", "1m") == kline(0, "105 105 100 100", provisional=True, event_time_ms=T0 + 2000)


def test_of_two_tickers_of_one_moment_the_later_arrival_counts(market: Market) -> None:
    # Tickers without an event time have that of the read that brought them: often the same.
    market.apply(ticker_update("100", high="110"), T0)
    market.apply(ticker_update("101", low="90"), T0)
    assert market.ticker("BTCUSDT") == ticker("101", high="110", low="90")
    assert market.forming("BTCUSDT", "1m") == kline(0, "100 101 100 101", provisional=True, event_time_ms=T0)


def test_the_same_ticker_again_changes_nothing(market: Market) -> None:
    market.apply(ticker_update("100", T0 + 1000), T0)
    market.take_changes()
    market.apply(ticker_update("100", T0 + 1000), T0)
    assert not market.take_changes()


def test_a_stored_ticker_is_taken_and_moves_no_kline(market: Market) -> None:
    market.restore(ticker("100"))
    assert market.ticker("BTCUSDT") == ticker("100")
    assert market.has_data("BTCUSDT")
    assert market.forming("BTCUSDT", "1m") is None
    assert changed(market) == {"tickers": {"BTCUSDT"}}


@pytest.mark.parametrize("stored_ms", [0, T0 - 1, T0])
def test_a_stored_ticker_never_replaces_a_newer_one(market: Market, stored_ms: int) -> None:
    market.apply(ticker_update("100"), T0)
    market.take_changes()
    market.restore(ticker("99", event_time_ms=stored_ms))
    assert market.ticker("BTCUSDT") == ticker("100")
    assert not market.take_changes()


def test_a_newer_stored_ticker_replaces_an_older_one(market: Market) -> None:
    market.apply(ticker_update("100"), T0)
    market.restore(ticker("101", event_time_ms=T0 + 1))
    assert market.ticker("BTCUSDT") == ticker("101", event_time_ms=T0 + 1)


# Klines


def test_a_kline_is_the_forming_kline_of_its_interval_only(market: Market) -> None:
    market.apply(kline_update(kline(0, volume="5", trades=3)), T0)
    assert market.forming("BTCUSDT", "1m") == kline(0, volume="5", trades=3)
    assert market.forming("BTCUSDT", "5m") is None
    assert market.has_data("BTCUSDT")
    assert changed(market) == {"series": {"BTCUSDT:1m"}}


def test_a_closed_kline_goes_into_the_log(market: Market) -> None:
    for number in range(7):
        market.apply(kline_update(kline(number, closed=True)), at(number + 1))
    assert market.closed("BTCUSDT", "1m") == tuple(closed_klines([2, 3, 4, 5, 6])), "as many as longer klines have"
    assert market.forming("BTCUSDT", "1m") is None


def test_a_delta_of_a_kline_changes_its_fields(market: Market) -> None:
    market.apply(kline_update(kline(0)), T0)
    market.take_changes()
    market.apply(kline_delta(0, at(0.5), close="107", volume="9"), at(0.5))
    assert market.forming("BTCUSDT", "1m") == kline(0, "100 110 90 107", volume="9", event_time_ms=at(0.5))
    assert changed(market) == {"series": {"BTCUSDT:1m"}}


@pytest.mark.parametrize(
    "delta",
    [
        pytest.param(kline_delta(1, at(1), close="107"), id="of-a-state-nobody-knows"),
        pytest.param(kline_delta(0, T0, close="107"), id="older"),
        pytest.param(kline_delta(0, at(0.5), interval="5m", close="107"), id="of-another-interval"),
    ],
)
def test_a_delta_that_has_nothing_to_lie_over_changes_nothing(market: Market, delta: KlineDelta) -> None:
    market.apply(kline_update(kline(0)), T0)
    market.take_changes()
    market.apply(delta, at(1))
    assert market.forming("BTCUSDT", "1m") == kline(0)
    assert market.forming("BTCUSDT", "5m") is None
    assert not market.take_changes()


# Closing


def opened(market: Market) -> None:
    """Bar 0 has closed, state 1 is forming."""
    market.apply(kline_update(kline(0, closed=True)), at(1))
    market.apply(kline_update(kline(1)), at(1.1))
    market.take_changes()


def test_price_after_the_close_moves_the_ticker_at_once_and_the_kline_later(market: Market) -> None:
    opened(market)
    market.apply(ticker_update("120", at(2)), at(2))
    assert market.ticker("BTCUSDT") == ticker("120", event_time_ms=at(2))
    assert market.forming("BTCUSDT", "1m") == kline(1)
    assert "BTCUSDT:1m" not in changed(market)["series"]
    market.advance(at(2) + GRACE_MS - 1)
    assert market.forming("BTCUSDT", "1m") == kline(1)
    assert not market.take_changes()
    market.apply(kline_update(kline(1, closed=True)), at(2) + GRACE_MS - 1)
    assert market.closed("BTCUSDT", "1m") == tuple(closed_klines([0, 1]))
    early = kline(2, "120 120 120 120", provisional=True, event_time_ms=at(2))
    assert market.forming("BTCUSDT", "1m") == early
    assert changed(market) == {"series": {"BTCUSDT:1m", "BTCUSDT:5m"}}
    market.advance(at(9))
    assert not market.take_changes()
    assert market.forming("BTCUSDT", "1m") == early


def test_the_next_kline_opens_without_the_closing_kline_when_the_grace_ends(market: Market) -> None:
    opened(market)
    market.apply(ticker_update("120", at(2)), at(2))
    market.take_changes()
    market.advance(at(2) + GRACE_MS)
    early = kline(2, "120 120 120 120", provisional=True, event_time_ms=at(2))
    assert market.forming("BTCUSDT", "1m") == early
    assert changed(market) == {"series": {"BTCUSDT:1m"}, "gaps": {"BTCUSDT:1m"}}, "the store may have it"
    market.apply(kline_update(kline(1, closed=True)), at(2.5))
    assert market.closed("BTCUSDT", "1m") == tuple(closed_klines([0, 1]))
    assert market.forming("BTCUSDT", "1m") == early
    assert changed(market)["corrected"] == {"BTCUSDT:1m"}


def test_a_missed_closing_kline_is_a_gap_until_the_store_has_been_read(market: Market) -> None:
    opened(market)
    market.apply(kline_update(kline(3)), at(3.1))
    assert changed(market) == {"series": {"BTCUSDT:1m"}, "gaps": {"BTCUSDT:1m"}}
    market.apply(ticker_update("120", at(3.2)), at(3.2))
    assert changed(market)["gaps"] == {"BTCUSDT:1m"}, "it stays one"
    market.reseed("BTCUSDT", "1m", closed_klines([0, 1, 2]), at(3.3))
    assert market.closed("BTCUSDT", "1m") == tuple(closed_klines([0, 1, 2]))
    assert market.forming("BTCUSDT", "1m") == kline(3, "100 120 90 120", event_time_ms=at(3.2))
    assert changed(market) == {"series": {"BTCUSDT:1m", "BTCUSDT:5m"}}
    market.advance(at(9))
    assert not market.take_changes(), "nobody waits any more"


def test_a_closed_kline_waits_as_long_as_the_store_is_read_for_what_comes_before_it(market: Market) -> None:
    market.apply(kline_update(kline(0, closed=True)), at(1))
    market.apply(kline_update(kline(2, closed=True)), at(3))
    series = series_of(market)
    market.advance(at(3) + 9 * GRACE_MS, {series})
    assert market.closed("BTCUSDT", "1m") == (kline(0, closed=True),)
    market.advance(at(3) + 9 * GRACE_MS)
    assert market.closed("BTCUSDT", "1m") == (kline(0, closed=True), kline(2, closed=True))


def test_a_price_long_after_the_newest_closed_kline_is_a_gap_too(market: Market) -> None:
    market.apply(kline_update(kline(0, closed=True)), at(1))
    market.take_changes()
    market.apply(ticker_update("120", at(3.2)), at(3.2))
    assert changed(market)["gaps"] == {"BTCUSDT:1m"}


def test_the_store_makes_a_symbol_known(market: Market) -> None:
    market.reseed("BTCUSDT", "1m", closed_klines([0, 1]), at(2.1))
    assert market.has_data("BTCUSDT")
    assert market.closed("BTCUSDT", "1m") == tuple(closed_klines([0, 1]))
    assert changed(market) == {"series": {"BTCUSDT:1m", "BTCUSDT:5m"}, "corrected": {"BTCUSDT:1m"}}


# Reporting


@pytest.mark.parametrize("update", [ticker_update("101", T0 + 9000), kline_update(kline(0))])
def test_changes_are_told_once(market: Market, update: TickerUpdate | KlineUpdate) -> None:
    market.apply(update, T0)
    first = market.take_changes()
    assert first
    assert not market.take_changes()
    market.apply(ticker_update("102", T0 + 9500), T0)
    assert names(first)["series"] <= {"BTCUSDT:1m", "BTCUSDT:5m"}, "what was taken is the taker's"


@pytest.mark.parametrize("what", ["tickers", "series", "corrected", "gaps"])
def test_changes_of_any_kind_are_changes(market: Market, what: str) -> None:
    changes = Changes()
    assert not changes
    getattr(changes, what).add(market.get_or_create("BTCUSDT"))
    assert changes


def test_an_interval_that_is_not_served_has_no_series(market: Market) -> None:
    market.apply(ticker_update("100"), T0)
    assert market.series("BTCUSDT", "1h") is None
    assert market.forming("BTCUSDT", "1h") is None
    assert market.closed("BTCUSDT", "1h") == ()


def test_what_is_read_are_values_that_later_updates_does_not_change(market: Market) -> None:
    market.apply(kline_update(kline(0, closed=True)), at(1))
    closed, series = market.closed("BTCUSDT", "1m"), series_of(market)
    market.apply(kline_update(kline(1, closed=True)), at(2))
    assert closed == (kline(0, closed=True),)
    assert list(series.closed) == closed_klines([0, 1])
    assert all(isinstance(known, Kline) for known in market.closed("BTCUSDT", "1m"))


def test_a_lazy_market_brings_watched_klines_up_to_date_at_every_tick() -> None:
    lazy = Market(MarketConfig(intervals=("1m",), close_grace_ms=GRACE_MS), log_size=4, lazy=True)
    lazy.apply(ticker_update("100"), T0)
    assert not lazy.take_changes().series
    lazy.watch("BTCUSDT", 1)
    lazy.apply(ticker_update("101", T0 + 1), T0)
    assert {series.symbol for series in lazy.take_changes().series} == {"BTCUSDT"}
    lazy.watch("BTCUSDT", -1)
    lazy.apply(ticker_update("102", T0 + 2), T0)
    assert not lazy.take_changes().series


def test_a_kline_that_is_looked_at_is_up_to_date_though_nobody_watches() -> None:
    lazy = Market(MarketConfig(intervals=("1m",), close_grace_ms=GRACE_MS), log_size=4, lazy=True)
    for second in range(100):
        lazy.apply(ticker_update(str(100 + second % 7), T0 + second * 100), T0)
    forming = lazy.forming("BTCUSDT", "1m")
    assert forming is not None
    assert (forming.open, forming.high, forming.low, forming.close) == ("100", "106", "100", "101")


# Made of others


def derived(market: Market, parts: list[Kline]) -> Series:
    """The 5m series, which the store lacks."""
    market.reseed("BTCUSDT", "1m", parts, T0)
    made = aggregate_closed(parts, INTERVALS["1m"], INTERVALS["5m"])
    market.reseed("BTCUSDT", "5m", made, T0, Parts("1m", parts))
    changed(market)
    return series_of(market, "5m")


def test_what_the_source_has_is_told_from_what_can_be_made(market: Market) -> None:
    market.apply(ticker_update(), T0)
    five = series_of(market, "5m")
    assert list(market.every_series()) == [series_of(market), five]
    market.get_or_create("ETHUSDT")
    assert len(list(market.every_series())) == 2, "nothing is known of the other one"
    assert market.divisor(five) is None
    market.apply(kline_update(kline(0)), T0)
    assert market.divisor(five) == "1m"
    assert market.divisor(series_of(market)) is None
    market.apply(kline_update(kline(0, interval="5m"), interval="5m"), T0)
    assert market.divisor(five) is None


def test_a_derived_kline_moves_and_closes_with_its_parts(market: Market) -> None:
    five = derived(market, closed_klines(range(7)))
    assert [one.open_time_ms for one in five.closed] == [T0]
    market.apply(kline_update(kline(7, "105 400 90 300")), at(7))
    assert changed(market)["series"] == {"BTCUSDT:1m", "BTCUSDT:5m"}
    forming = market.forming("BTCUSDT", "5m")
    assert forming is not None
    assert (forming.open_time_ms, forming.high, forming.close) == (at(5), "400", "300")
    for number in (7, 8, 9):
        market.apply(kline_update(kline(number, closed=True)), at(number + 1))
    assert changed(market)["series"] == {"BTCUSDT:1m", "BTCUSDT:5m"}
    assert [one.open_time_ms for one in five.closed] == [T0, at(5)]


def test_derived_kline_that_lacks_its_last_part_is_given_up_after_the_grace(market: Market) -> None:
    five = derived(market, closed_klines(range(9)))
    market.apply(kline_update(kline(10)), at(10))
    assert changed(market)["gaps"] == {"BTCUSDT:1m", "BTCUSDT:5m"}
    market.advance(at(10) + GRACE_MS - 1)
    forming = market.forming("BTCUSDT", "5m")
    assert forming is not None
    assert forming.open_time_ms == at(5)
    market.advance(at(10) + GRACE_MS)
    forming = market.forming("BTCUSDT", "5m")
    assert forming is not None
    assert forming.open_time_ms == at(10)
    assert [one.open_time_ms for one in five.closed] == [T0], "what lacks a part is never closed"


def test_stored_parts_are_rolled_up_at_once_however_many_they_are(market: Market) -> None:
    longer = derived(market, closed_klines([0]))
    market.take_changes()
    market.reseed("BTCUSDT", "1m", closed_klines(range(30)), at(30))
    assert [kline.open_time_ms for kline in longer.closed] == [at(number) for number in range(0, 30, 5)][-4:]
    assert not longer.gap
    assert longer in market.take_changes().series
    market.reseed("BTCUSDT", "1m", closed_klines(range(30)), at(30))
    assert not market.take_changes()


def test_a_series_can_be_looked_at_without_what_was_postponed() -> None:
    market = Market(MarketConfig(intervals=("1m",)), log_size=4, lazy=True)
    assert market.peek("BTCUSDT", "1m") is None
    market.apply(ticker_update("100", at(0)), at(0))
    series = market.peek("BTCUSDT", "1m")
    assert series is not None
    assert series.forming is None
    assert market.series("BTCUSDT", "1m") is series
    assert series.forming is not None


def test_symbols_are_watched_that_have_data_and_readers() -> None:
    market = Market(MarketConfig(intervals=("1m",)), log_size=4, lazy=True)
    market.watch("NEWUSDT", 1)
    for symbol in ("ETHUSDT", "BTCUSDT", "XRPUSDT"):
        market.reseed(symbol, "1m", closed_klines([0]), at(1))
    market.watch("ETHUSDT", 1)
    market.watch("BTCUSDT", 2)
    assert market.watched() == ["BTCUSDT", "ETHUSDT"]


def test_what_is_stored_corrects_what_was_sent(market: Market) -> None:
    longer = derived(market, closed_klines(range(5)))
    market.take_changes()
    series = series_of(market)
    market.correct(series, [], at(6))
    assert not market.take_changes()
    market.correct(series, [kline(2, closed=True, close="9", event_time_ms=at(9))], at(6))
    assert "9" in [each.close for each in series.closed]
    changes = market.take_changes()
    assert changes.corrected == {series}
    assert longer in changes.gaps


def test_a_correction_of_a_part_has_the_store_read_for_the_whole(market: Market) -> None:
    derived(market, closed_klines(range(7)))
    market.apply(kline_update(kline(5, "1 2 1 2", closed=True, event_time_ms=at(9))), at(9))
    found = changed(market)
    assert found["corrected"] == {"BTCUSDT:1m"}
    assert found["gaps"] == {"BTCUSDT:5m"}


def test_nobody_watching_a_derived_kline_is_up_to_date_for_readers() -> None:
    market = Market(MarketConfig(intervals=("1m", "5m")), log_size=4, lazy=True)
    derived(market, closed_klines(range(6)))
    market.apply(kline_update(kline(6, "105 400 90 300")), at(6))
    assert changed(market)["series"] == {"BTCUSDT:1m"}
    forming = market.forming("BTCUSDT", "5m")
    assert forming is not None
    assert forming.close == "300"
    assert changed(market)["series"] == {"BTCUSDT:5m"}
    market.apply(kline_update(kline(6, "105 500 90 301", event_time_ms=at(6.5))), at(6.5))
    market.watch("BTCUSDT", 1)
    assert changed(market)["series"] == {"BTCUSDT:1m", "BTCUSDT:5m"}


def test_the_sources_own_source_kline_ends_the_making(market: Market) -> None:
    five = derived(market, closed_klines(range(6)))
    derives = [bool(five.derived_from)]
    market.apply(kline_update(kline(1, interval="5m"), interval="5m"), at(6))
    derives.append(bool(five.derived_from))
    # It is sent, whatever is stored.
    market.reseed("BTCUSDT", "5m", [], T0, Parts("1m", closed_klines(range(6))))
    derives.append(bool(five.derived_from))
    assert derives == [True, False, False]


class TestATickerThatOutlivedItsKey:
    def test_is_still_known_and_old_until_updates_come(self) -> None:
        market = Market(MarketConfig(), 16)
        market.apply(ticker_update("1", T0), T0)
        assert not market.lapsed("BTCUSDT")
        market.lapse("BTCUSDT")
        assert market.lapsed("BTCUSDT")
        assert market.has_data("BTCUSDT")
        market.apply(ticker_update("1", T0 + 1), T0)
        assert not market.lapsed("BTCUSDT")

    def test_is_none_where_there_was_no_ticker(self) -> None:
        market = Market(MarketConfig(), 16)
        market.lapse("BTCUSDT")
        assert not market.lapsed("BTCUSDT")
        market.get_or_create("BTCUSDT")
        market.lapse("BTCUSDT")
        assert not market.lapsed("BTCUSDT")


# Impossible times


def held(market: Market) -> tuple[object, ...]:
    found = series_of(market)
    return market.ticker("BTCUSDT"), found.forming, list(found.closed)


def test_everything_after_a_limit_is_dropped(market: Market) -> None:
    market.apply(kline_update(kline(0, closed=True)), at(1))
    market.apply(ticker_update("100", at(1)), at(1))
    market.apply(ticker_update("500", at(900)), at(1))
    market.apply(kline_update(kline(800, closed=True)), at(1))
    market.healing.drop_after(at(2), at(1))
    known = market.ticker("BTCUSDT")
    assert known is not None
    assert (known.last, known.event_time_ms) == ("500", 0)
    assert [found.open_time_ms for found in series_of(market).closed] == [T0]
    market.apply(ticker_update("101", at(1.1)), at(1.1))
    assert held(market)[0] == ticker("101", event_time_ms=at(1.1))
    forming = market.forming("BTCUSDT", "1m")
    assert forming is not None
    assert (forming.open_time_ms, forming.close) == (at(1), "101")


def test_dropping_nothing_changes_nothing(market: Market) -> None:
    market.apply(kline_update(kline(0, closed=True)), at(1))
    market.apply(ticker_update("100", at(1)), at(1))
    before = held(market)
    market.take_changes()
    market.healing.drop_after(at(2), at(1))
    assert held(market) == before
    assert not market.take_changes()


def test_what_is_distrusted_is_dropped_by_the_first_correct_price(market: Market) -> None:
    market.apply(ticker_update("500", at(900)), at(1))
    market.healing.distrusted_ms = at(10)
    market.apply(ticker_update("501", at(901)), at(1))
    assert held(market)[0] == ticker("501", event_time_ms=at(901)), "the feed may have jumped"
    market.apply(ticker_update("101", at(1)), at(1))
    assert held(market)[0] == ticker("101", event_time_ms=at(1))
    assert market.forming("BTCUSDT", "1m") is not None


def test_what_is_distrusted_is_dropped_by_the_first_correct_kline(market: Market) -> None:
    market.apply(kline_update(kline(0, closed=True)), at(1))
    market.apply(kline_update(kline(900)), at(1))
    market.advance(at(1))
    market.advance(at(5))
    market.healing.distrusted_ms = at(10)
    market.apply(kline_delta(900, at(901), close="7"), at(1))
    assert series_of(market).newest_ms == at(900)
    market.apply(kline_update(kline(1)), at(1))
    assert market.forming("BTCUSDT", "1m") == kline(1)


def test_without_a_limit_an_older_price_stays_old(market: Market) -> None:
    market.apply(ticker_update("500", at(900)), at(1))
    market.apply(ticker_update("101", at(1)), at(1))
    assert held(market)[0] == ticker("500", event_time_ms=at(900))


@pytest.mark.parametrize(("before", "after"), [("100", "1000"), ("0.0900", "0.0100"), ("900", "100")])
def test_a_price_that_jumps_is_taken_and_noted(market: Market, before: str, after: str) -> None:
    market.apply(ticker_update(before, at(1)), at(1))
    market.apply(ticker_update(after, at(1.1)), at(1.1))
    assert list(market.jumps) == [Jump("BTCUSDT", before, after)]
    assert held(market)[0] == ticker(after, event_time_ms=at(1.1))


@pytest.mark.parametrize(("before", "after"), [("100", "101"), ("0.0900", "0.0800"), ("99", "100")])
def test_a_price_that_moves_is_no_jump(market: Market, before: str, after: str) -> None:
    market.apply(ticker_update(before, at(1)), at(1))
    market.apply(ticker_update(after, at(1.1)), at(1.1))
    assert not market.jumps


def test_only_symbols_with_data_have_a_state_to_look_at(market: Market) -> None:
    market.get_or_create("EMPTYUSDT")
    market.apply(ticker_update("1"), T0)
    assert [state.symbol for state in market.states()] == market.symbols()


def test_a_symbol_is_forgotten_unless_it_has_data(market: Market) -> None:
    empty = market.get_or_create("EMPTYUSDT")
    market.apply(ticker_update("1"), T0)
    (known,) = market.symbols()
    state = market.get_or_create(known)
    market.forget("EMPTYUSDT")
    market.forget("NEVERUSDT")
    market.forget(known)
    assert market.get_or_create("EMPTYUSDT") is not empty
    assert market.get_or_create(known) is state


def test_a_symbol_without_tickers_gets_one_of_its_klines_until_the_source_sends_one(market: Market) -> None:
    market.read = True
    market.apply(kline_update(kline(0, closed=True)), at(1))
    assert names(market.take_changes())["tickers"] == set()
    # The figures of a day begin with what the store has of it.
    for state, read in market.days.reads():
        market.days.take(state, read, [])
    assert names(market.take_changes())["tickers"] == {"BTCUSDT"}
    derived = market.ticker("BTCUSDT")
    assert derived is not None
    assert (derived.derived, derived.last) == (True, kline(0).close)
    market.apply(ticker_update("77", event_time_ms=at(1)), at(1))
    real = market.ticker("BTCUSDT")
    assert real is not None
    assert (real.derived, real.last) == (False, "77")
