"""What a state of the feed means for tickers, forming klines and closed klines."""

from __future__ import annotations

import pytest

from gateway.delivery.staleness import FeedState, Staleness, StaleReason, SymbolStates, with_unread

LIVE = Staleness()


def test_reasons_are_those_of_the_wire() -> None:
    assert [str(reason) for reason in StaleReason] == [
        "", "redis", "repair", "silent", "malformed", "prices", "klines", "symbol", "store",
    ]  # fmt: skip


def test_a_new_state_is_live() -> None:
    state = FeedState()
    assert state.live
    assert not state.unread
    assert set(state.lanes().values()) == {LIVE}


@pytest.mark.parametrize("reason", [StaleReason.DISCONNECTED, StaleReason.BACKFILLING])
def test_the_source_may_have_unread_data_while_it_is_away_or_being_read(reason: StaleReason) -> None:
    assert FeedState(reason, 5).unread
    assert FeedState(StaleReason.NONE, closed=Staleness(reason, 5)).unread
    assert not FeedState(StaleReason.SILENT, 5).unread


def test_states_are_compared_by_identity() -> None:
    assert FeedState(StaleReason.DISCONNECTED, 5) != FeedState(StaleReason.DISCONNECTED, 5)


def test_without_prices_tickers_and_forming_klines_are_stale_and_closed_ones_are_not() -> None:
    state, stale = FeedState(StaleReason.PRICES, 5, closed=LIVE), Staleness(StaleReason.PRICES, 5)
    assert (state.reason, state.since_ms, state.live) == (StaleReason.PRICES, 5, False)
    assert state.lanes() == {"ticker": stale, "forming": stale, "closed": LIVE}
    assert state.ticker("BTCUSDT") == stale
    assert state.klines("BTCUSDT") == stale
    assert state.klines("BTCUSDT", forming=False) == LIVE


def test_without_closed_klines_all_klines_are_stale_and_tickers_are_not() -> None:
    stale = Staleness(StaleReason.KLINES, 5)
    state = FeedState(closed=stale)
    assert (state.reason, state.since_ms, state.live) == (StaleReason.KLINES, 5, False)
    assert state.lanes() == {"ticker": LIVE, "forming": LIVE, "closed": stale}
    assert state.ticker("BTCUSDT") == LIVE
    assert state.klines("BTCUSDT") == state.klines("BTCUSDT", forming=False) == stale


def test_a_symbol_that_has_stopped_is_stale_unless_its_lane_is_anyway() -> None:
    stale = Staleness(StaleReason.SYMBOL, 7)
    symbols = {"ETHUSDT": SymbolStates(stale, LIVE)}
    state = FeedState(symbols=symbols)
    assert state.live, "one symbol does not make the feed stale"
    assert (state.ticker("ETHUSDT"), state.klines("ETHUSDT"), state.ticker("BTCUSDT")) == (stale, LIVE, LIVE)
    both = FeedState(symbols={"ETHUSDT": SymbolStates(stale, stale)})
    assert both.klines("ETHUSDT") == both.klines("ETHUSDT", forming=False) == stale
    silent = FeedState(StaleReason.SILENT, 5, symbols=symbols)
    assert silent.ticker("ETHUSDT").reason is StaleReason.SILENT


def test_states_say_which_symbols_may_differ() -> None:
    stopped = FeedState(symbols={"ETHUSDT": SymbolStates(Staleness(StaleReason.SYMBOL, 7), LIVE)})
    assert stopped.may_differ(FeedState()) == frozenset({"ETHUSDT"})
    assert FeedState().may_differ(FeedState()) == frozenset()
    assert FeedState(StaleReason.SILENT, 5).may_differ(FeedState()) is None


def test_klines_of_symbols_that_are_still_to_be_read_are_stale() -> None:
    unread, stopped = Staleness(StaleReason.BACKFILLING, 5), SymbolStates(Staleness(StaleReason.SYMBOL, 7), LIVE)
    known = {"ETHUSDT": stopped}
    assert with_unread(known, {}, {}) is known
    state = FeedState(symbols=with_unread(known, {"BTCUSDT": unread, "ETHUSDT": unread}, {}))
    assert state.live
    assert (state.klines("BTCUSDT"), state.klines("ETHUSDT"), state.ticker("BTCUSDT")) == (unread, unread, LIVE)
    assert state.ticker("ETHUSDT") == stopped.ticker


def test_a_symbol_is_unread_until_its_own_klines_have_been_read() -> None:
    unread = Staleness(StaleReason.BACKFILLING, 5)
    stopped = SymbolStates(Staleness(StaleReason.SYMBOL, 7), Staleness(StaleReason.SYMBOL, 7))
    state = FeedState(symbols={"ETHUSDT": stopped, "BTCUSDT": SymbolStates(LIVE, unread)})
    assert [state.is_unread(symbol) for symbol in ("BTCUSDT", "ETHUSDT", "XRPUSDT")] == [True, False, False]
    assert FeedState(StaleReason.BACKFILLING, 5).is_unread("XRPUSDT")


def test_without_its_price_a_symbol_has_a_stale_ticker_and_forming_kline_and_live_closed_ones() -> None:
    unread, unpriced = Staleness(StaleReason.BACKFILLING, 5), Staleness(StaleReason.PRICES, 6)
    state = FeedState(symbols=with_unread({}, {"ETHUSDT": unread}, {"BTCUSDT": unpriced, "ETHUSDT": unpriced}))
    assert state.ticker("BTCUSDT") == state.klines("BTCUSDT") == state.ticker("ETHUSDT") == unpriced
    assert state.klines("BTCUSDT", forming=False) == LIVE
    assert state.klines("ETHUSDT") == state.klines("ETHUSDT", forming=False) == unread


def test_klines_of_a_series_that_lacks_some_are_stale_unless_they_are_anyway() -> None:
    unread, stopped = Staleness(StaleReason.BACKFILLING, 5), Staleness(StaleReason.SYMBOL, 7)
    series = {("BTCUSDT", "1m"): unread, ("ETHUSDT", "1m"): unread}
    state = FeedState(symbols={"ETHUSDT": SymbolStates(stopped, stopped)}, series=series)
    assert state.live, "one series does not make the feed stale"
    assert not state.unread
    assert state.klines("BTCUSDT", "1m") == state.klines("BTCUSDT", "1m", forming=False) == unread
    assert state.klines("BTCUSDT") == state.klines("BTCUSDT", "5m") == state.ticker("BTCUSDT") == LIVE
    assert state.klines("ETHUSDT", "1m") == stopped
    silent = FeedState(StaleReason.SILENT, 5, series=series)
    assert silent.klines("BTCUSDT", "1m").reason is StaleReason.SILENT


def test_states_say_of_which_symbols_a_series_may_differ() -> None:
    unread = FeedState(series={("BTCUSDT", "1m"): Staleness(StaleReason.BACKFILLING, 5)})
    longer = FeedState(series={**unread.series, ("ETHUSDT", "1m"): Staleness(StaleReason.BACKFILLING, 6)})
    assert unread.may_differ(FeedState()) == FeedState().may_differ(unread) == frozenset({"BTCUSDT"})
    assert longer.may_differ(unread) == frozenset({"ETHUSDT"})
