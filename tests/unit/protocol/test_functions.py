"""Klines and tickers by the names that apps of edge functions read."""

from __future__ import annotations

import orjson
import pytest

from gateway.model.ticker import Ticker
from gateway.protocol.functions import kline_row, ticker_figures, ticker_object
from gateway.protocol.native import kline_json
from tests.builders import kline


@pytest.mark.parametrize(("taker", "quote"), [("1.50", "0"), ("0", "3"), ("0.00000000", "0.00000000")])
def test_a_row_has_taker_volumes_where_the_collector_sends_them(taker: str, quote: str) -> None:
    of = kline(closed=True, taker_volume=taker, taker_quote_volume=quote)
    assert kline_row(of) == kline_json(of)[:-1] + (
        f',"takerBuyBaseVolume":{taker},"takerBuyQuoteVolume":{quote}}}'.encode()
    )


def test_a_row_without_taker_volumes_is_the_native_one() -> None:
    assert kline_row(kline(provisional=True)) == kline_json(kline(provisional=True))


def test_figures_that_the_source_does_not_send_are_null() -> None:
    assert orjson.loads(ticker_object(Ticker("BTCUSDT", "100.0"))) == {
        **{"symbol": "BTCUSDT", "c": 100.0, "price": 100.0, "volume": None, "quoteVolume": None},
        **{"priceChangePercent": None, "high24h": None, "low24h": None},
    }


def test_the_change_in_percent_is_computed_from_the_first_price() -> None:
    assert b'"priceChangePercent":-25.000,' in ticker_figures(Ticker("BTCUSDT", "75", "100"))


def test_digits_and_symbols_survive() -> None:
    text = ticker_object(Ticker("币安人生USDT", "1.10", high="1.20"))
    assert text.startswith('{"symbol":"币安人生USDT","c":1.10,'.encode())
    assert text.endswith(b'"high24h":1.20,"low24h":null}')


def test_no_ticker_is_null() -> None:
    assert ticker_object(None) == b"null"
