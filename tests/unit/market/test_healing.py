"""What the market forgets: all that is impossible, or of one symbol what its own feed contradicts."""

from __future__ import annotations

from gateway.config import MarketConfig
from gateway.market.market import Market
from gateway.market.merge import price
from tests.builders import MINUTE_MS, T0, kline, kline_update, ticker_update

LATE = T0 + 86_400_000


def market_with(*symbols: str) -> Market:
    market = Market(MarketConfig(intervals=("1m",)), 4)
    for symbol in symbols:
        market.apply(ticker_update("500", LATE, symbol), T0)
    return market


def times(market: Market) -> list[int]:
    return [ticker.event_time_ms for ticker in market.tickers()]


def test_what_is_impossible_is_dropped_of_every_symbol() -> None:
    market = market_with("AAAUSDT", "BBBUSDT")
    market.healing.drop_after(LATE, T0)
    assert times(market) == [LATE, LATE]
    market.healing.drop_after(T0, T0)
    assert times(market) == [0, 0]


def test_only_what_is_contradicted_is_dropped() -> None:
    market = market_with("AAAUSDT", "BBBUSDT")
    state = market.get_or_create("AAAUSDT")
    assert not market.healing.drop_distrusted(state, LATE, T0, T0), "nothing is distrusted"
    market.healing.distrusted_ms = T0 + 1000
    assert not market.healing.drop_distrusted(state, LATE, T0 + 1001, T0), "the feed may have jumped"
    assert not market.healing.drop_distrusted(state, T0, T0, T0), "nothing is after the limit"
    assert market.healing.drop_distrusted(state, LATE, T0, T0)
    assert times(market) == [0, LATE]


def test_klines_after_the_limit_are_dropped_and_their_series_are_told() -> None:
    market = market_with("AAAUSDT")
    market.apply(kline_update(kline(0), "AAAUSDT"), T0)
    market.apply(kline_update(kline(9), "AAAUSDT"), T0)
    market.take_changes()
    market.healing.drop_after(T0 + MINUTE_MS, T0)
    series = market.get_or_create("AAAUSDT").series["1m"]
    assert market.take_changes().series == {series}
    assert series.forming is None or series.forming.open_time_ms < T0 + MINUTE_MS


def test_klines_of_prices_alone_are_dropped_when_the_clock_that_dated_them_was_late() -> None:
    market = Market(MarketConfig(intervals=("1m",)), 4)
    market.apply(kline_update(kline(0), "AAAUSDT"), T0)
    priced = market.get_or_create("BBBUSDT").series["1m"]
    priced.apply_price(price(T0 + 1, "100"), T0 + 1)
    market.take_changes()
    shown = [market.forming(symbol, "1m") for symbol in ("AAAUSDT", "BBBUSDT")]
    market.healing.drop_prices(T0)
    assert market.take_changes().corrected == {priced}
    assert [market.forming(symbol, "1m") for symbol in ("AAAUSDT", "BBBUSDT")] == [shown[0], None]
    assert None not in shown
    market.healing.drop_prices(T0)
    assert not market.take_changes()
