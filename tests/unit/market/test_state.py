"""What is held of a symbol before anything is known, and when something counts as moved."""

from __future__ import annotations

import pytest

from gateway.market.merge import price
from gateway.market.series import Series
from gateway.market.state import Changes, Jump, SymbolState, jumps_of
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, kline, ticker


def test_a_symbol_begins_unknown_with_those_who_watch_it() -> None:
    state = SymbolState("BTCUSDT", watchers=2)
    assert (state.symbol, state.watchers, state.has_data) == ("BTCUSDT", 2, False)
    assert (state.ticker, state.lapsed, state.prices, state.series) == (None, None, [], {})


def test_nothing_has_moved_at_first() -> None:
    assert not Changes()


@pytest.mark.parametrize("what", ["tickers", "series", "corrected", "gaps"])
def test_anything_that_has_moved_counts_once(what: str) -> None:
    changes = Changes()
    moved = SymbolState("BTCUSDT", 0) if what == "tickers" else Series("BTCUSDT", INTERVALS["1m"], 4)
    getattr(changes, what).add(moved)
    getattr(changes, what).add(moved)
    assert changes
    assert len(getattr(changes, what)) == 1


@pytest.mark.parametrize(
    ("before", "after", "jumps"),
    [
        ("100", "299", False),
        ("100", "300", True),
        ("0.3", "0.1", True),
        ("0.3", "0.11", False),
        ("0", "1", True),
        ("100", "101", False),
        ("0.09", "0.01", True),
        ("100.1", "100.2", False),
    ],
)
def test_a_price_three_times_the_one_before_or_a_third_of_it_is_a_jump(before: str, after: str, jumps: bool) -> None:
    expected = (Jump("BTCUSDT", before, after),) if jumps else ()
    assert jumps_of(ticker(before), ticker(after)) == expected


def test_prices_and_the_time_of_a_ticker_after_a_limit_are_dropped() -> None:
    state = SymbolState("BTCUSDT", 0)
    assert state.drop_after(T0) == []
    state.prices = [price(T0, "1"), price(T0 + 5, "2")]
    state.ticker = ticker("2", event_time_ms=T0 + 5)
    assert state.drop_after(T0 + 5) == []
    assert state.drop_after(T0) == []
    assert (state.prices, state.ticker) == ([price(T0, "1")], ticker("2", event_time_ms=0))


def test_a_series_that_lost_klines_has_changed() -> None:
    state = SymbolState("BTCUSDT", 0)
    state.series = {"1m": Series("BTCUSDT", INTERVALS["1m"], 4)}
    state.series["1m"].apply_kline(kline(900), T0)
    assert state.drop_after(T0) == [state.series["1m"]]
    assert state.drop_after(T0) == []


@pytest.mark.parametrize("all_read", [False, True])
def test_what_closes_is_no_past_only_once_the_store_has_been_read(all_read: bool) -> None:
    state = SymbolState("BTCUSDT", 0)
    series = state.series["1m"] = Series("BTCUSDT", INTERVALS["1m"], 4)
    state.follow(all_read=all_read)
    series.apply_kline(kline(1), T0 + MINUTE_MS)
    series.apply_kline(kline(1, closed=True), T0 + 2 * MINUTE_MS)
    series.apply_kline(kline(2, closed=True), T0 + 3 * MINUTE_MS)
    assert series.closed.end == 2


def test_a_series_that_lost_what_prices_had_made_has_changed() -> None:
    state = SymbolState("BTCUSDT", 0)
    state.prices = [price(T0 + 1, "1")]
    state.series = {"1m": Series("BTCUSDT", INTERVALS["1m"], 4)}
    state.series["1m"].apply_price(price(T0, "1"), T0)
    assert state.drop_prices() == [state.series["1m"]]
    assert state.prices == []
    assert state.drop_prices() == []


def test_a_derived_ticker_is_none_of_the_source() -> None:
    state = SymbolState("BTCUSDT", 0)
    assert not state.has_ticker
    state.ticker = ticker("100")._replace(derived=True)
    assert not state.has_ticker
    state.ticker = ticker("100")
    assert state.has_ticker
