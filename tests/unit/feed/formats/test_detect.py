"""Guesses at the format of a payload, one of each collector."""

from __future__ import annotations

import pytest

from collector.encode import kline_event, kline_member, ticker_event, ticker_value
from gateway.feed.formats.detect import looks_like
from simulator.formats import array_row, array_ticker, ccxt_row, ccxt_ticker, cryptofeed_candle
from tests.builders import kline, ticker


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (kline_event("BTCUSDT", "1m", kline()), "binance"),
        (kline_member("BTCUSDT", "1m", kline()), "binance"),
        (ticker_event(ticker()), "binance"),
        (ticker_value(ticker()), "binance"),
        (cryptofeed_candle("BTC-USDT", "1m", kline()), "cryptofeed"),
        ('{"exchange":"BINANCE","symbol":"BTC-USDT","bid":1,"ask":2}', "cryptofeed"),
        (ccxt_row(kline()), "ccxt"),
        (f"[{ccxt_row(kline())}]", "ccxt"),
        (ccxt_ticker(ticker()), "ccxt"),
        (array_row(kline()), "array"),
        (array_ticker(ticker()), "array"),
        ('{"price":1}', ""),
        ("[]", ""),
        ("7", ""),
        ("oops", ""),
    ],
)
def test_what_a_payload_looks_like(payload: str, name: str) -> None:
    assert looks_like(payload.encode()) == name
