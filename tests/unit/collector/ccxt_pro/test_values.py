"""ccxt's structures become klines, tickers and pairs with the exchange's own digits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from collector.ccxt_pro.values import kline_of, listed, row_of, ticker_of
from gateway.model.interval import INTERVALS

MINUTE = INTERVALS["1m"]
OPENED_MS = 1_732_310_040_000


def test_a_row_keeps_the_text_of_the_exchange() -> None:
    row = row_of([OPENED_MS, "97000.10", "97001.00", "96999", "97000.50", "1.2300"], MINUTE)
    assert row == (OPENED_MS, "97000.10", "97001.00", "96999", "97000.50", "1.2300")


def test_numbers_in_scientific_notation_become_plain() -> None:
    assert row_of([OPENED_MS, 2.5e-05, "3E-5", 0.00002, "0.00003", 0], MINUTE) == (
        *(OPENED_MS, "0.000025", "0.00003", "0.00002", "0.00003", "0"),
    )


def test_a_row_without_a_volume_has_none() -> None:
    row = row_of([OPENED_MS, "1", "1", "1", "1", None], MINUTE)
    assert row is not None
    assert row[5] == "0"


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None, "1", "1", "1", "1", "1"],
        [OPENED_MS, None, "1", "1", "1", "1"],
        [OPENED_MS, "x", "1", "1", "1", "1"],
        [OPENED_MS, "0", "1", "1", "1", "1"],
        [OPENED_MS, "nan", "1", "1", "1", "1"],
        [OPENED_MS, True, "1", "1", "1", "1"],
        [OPENED_MS + 1, "1", "1", "1", "1", "1"],
    ],
    ids=["empty", "no time", "no price", "text", "price 0", "not finite", "flag", "opens at another time"],
)
def test_what_is_no_kline_is_refused(values: list[Any]) -> None:
    assert row_of(values, MINUTE) is None


def test_days_that_are_counted_by_another_time_zone_are_refused() -> None:
    sixteen_utc_ms = 1_732_291_200_000
    assert row_of([sixteen_utc_ms, "1", "1", "1", "1", "1"], INTERVALS["1d"]) is None


def test_a_kline_has_the_close_time_of_its_interval() -> None:
    row = row_of([OPENED_MS, "1", "3", "1", "2", "5"], MINUTE)
    assert row is not None
    kline = kline_of(row, MINUTE, OPENED_MS + 70_000, closed=True)
    assert (kline.close_time_ms, kline.high, kline.closed) == (OPENED_MS + 59_999, "3", True)
    assert (kline.event_time_ms, kline.quote_volume, kline.trades) == (OPENED_MS + 70_000, "0", 0)


def test_a_ticker_has_what_the_exchange_told_and_nothing_else() -> None:
    ticker = ticker_of({"symbol": "BTC/USDT", "timestamp": 5, "last": "97000.10", "bid": None, "high": "x"}, 9)
    assert ticker is not None
    assert (ticker.symbol, ticker.last, ticker.bid, ticker.high, ticker.event_time_ms) == (
        *("BTC/USDT", "97000.10", "", "", 5),
    )


def test_a_ticker_without_a_time_has_that_of_its_arrival() -> None:
    ticker = ticker_of({"symbol": "BTC/USDT", "timestamp": None, "last": "1"}, 9)
    assert ticker is not None
    assert ticker.event_time_ms == 9


@pytest.mark.parametrize("last", [None, "", "0", "x"], ids=["none", "empty", "zero", "text"])
def test_a_ticker_without_a_price_is_none(last: str | None) -> None:
    assert ticker_of({"symbol": "BTC/USDT", "last": last}, 9) is None


def test_pairs_of_one_kind_are_listed_with_their_turnover() -> None:
    markets: list[dict[str, Any]] = [
        {"symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "spot": True, "active": True},
        {"symbol": "ETH/USDT", "base": "ETH", "quote": "USDT", "spot": True, "active": None},
        {"symbol": "OLD/USDT", "base": "OLD", "quote": "USDT", "spot": True, "active": False},
        {"symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "spot": False, "swap": True},
    ]
    tickers: dict[str, dict[str, Any]] = {
        "BTC/USDT": {"quoteVolume": "12.5"},
        "ETH/USDT": {"quoteVolume": None, "baseVolume": "2", "last": "3"},
        "OLD/USDT": {"baseVolume": None, "last": "1"},
    }
    assert [(pair.symbol, pair.trading, pair.quote_volume) for pair in listed(markets, tickers, "spot")] == [
        ("BTC/USDT", True, Decimal("12.5")),
        ("ETH/USDT", True, Decimal(6)),
        ("OLD/USDT", False, Decimal(0)),
    ]
    assert [pair.symbol for pair in listed(markets, {}, "swap")] == ["BTC/USDT:USDT"]
