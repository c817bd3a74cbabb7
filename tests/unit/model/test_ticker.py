"""The ticker and its updates."""

from __future__ import annotations

from gateway.model.ticker import PricedTickerFields, Ticker, TickerFields, TickerUpdate


def test_an_update_is_laid_over_a_ticker_by_field_name() -> None:
    fields: TickerFields = {"high": "12", "trades": 7, "last_trade_id": 9}
    before = Ticker("BTCUSDT", "2.40", open="2.0", event_time_ms=4)
    after = before.updated(fields, 5)
    assert after == before._replace(event_time_ms=5, **fields)
    assert type(after) is Ticker


def test_an_update_makes_a_ticker_on_its_own() -> None:
    update = TickerUpdate("BTCUSDT", 5, {"last": "2.50", "trades": 7})
    assert update.ticker() == Ticker("BTCUSDT", "2.50", trades=7, event_time_ms=5)


def test_every_field_of_an_update_is_a_field_of_the_ticker() -> None:
    assert set(TickerFields.__annotations__) | {"last"} == set(PricedTickerFields.__annotations__)
    assert set(PricedTickerFields.__annotations__) <= set(Ticker._fields)


def test_what_the_source_never_sent_differs_from_zero() -> None:
    ticker = Ticker("BTCUSDT", "1")
    assert (ticker.high, ticker.trades) == ("", -1)
