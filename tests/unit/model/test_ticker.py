"""The ticker and its news: fields of an update are fields of the value."""

from __future__ import annotations

from gateway.model.ticker import Ticker, TickerFields, TickerUpdate


def test_an_update_folds_into_the_ticker_by_field_name() -> None:
    update = TickerUpdate("BTCUSDT", 5, {"last": "2.50", "trades": 7})
    folded = Ticker("BTCUSDT", "2.40", open="2.0")._replace(**update.fields)
    assert (folded.last, folded.trades, folded.open) == ("2.50", 7, "2.0")


def test_everything_an_update_may_carry_is_a_field_of_the_ticker() -> None:
    assert set(TickerFields.__annotations__) <= set(Ticker._fields)


def test_what_the_source_never_said_is_told_from_zero() -> None:
    ticker = Ticker("BTCUSDT", "1")
    assert (ticker.high, ticker.trades) == ("", -1)
