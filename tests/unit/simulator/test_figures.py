"""Whole units to decimal text: exact, with every digit, also where floats would fail."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline
from simulator.figures import decimal_text, kline_of, ticker_of
from simulator.klines import DayFigures, RawKline
from simulator.pairs import PAIRS
from simulator.random_walk import Trade


@pytest.mark.parametrize(
    ("units", "digits", "text"),
    [
        (9712340, 2, "97123.40"),
        (1234, 8, "0.00001234"),
        (0, 3, "0.000"),
        (-5, 2, "-0.05"),
        (-7, 0, "-7"),
        (3361240, 0, "3361240"),
        (100, 2, "1.00"),
        (12345678901234567890123, 7, "1234567890123456.7890123"),
    ],
)
def test_units_become_exact_text_with_all_digits(units: int, digits: int, text: str) -> None:
    assert decimal_text(units, digits) == text
    assert Decimal(text) * 10**digits == units


def test_a_kline_has_the_digits_of_its_pair() -> None:
    raw = RawKline(1_732_310_040_000, 9_700_000)
    raw.take(Trade(1_732_310_040_100, 9_700_010, 150_000, 50_000, 3, 17))
    kline = kline_of(PAIRS["BTCUSDT"], INTERVALS["1m"], raw, 1_732_310_050_000, closed=False)
    assert kline == Kline(
        open_time_ms=1_732_310_040_000,
        close_time_ms=1_732_310_099_999,
        open="97000.00",
        high="97000.10",
        low="97000.00",
        close="97000.10",
        volume="1.50000",
        quote_volume="145500.1500000",
        trades=3,
        taker_volume="0.50000",
        taker_quote_volume="48500.0500000",
        first_trade_id=17,
        last_trade_id=19,
        closed=False,
        event_time_ms=1_732_310_050_000,
    )


def test_a_quiet_kline_has_no_trade_ids() -> None:
    kline = kline_of(PAIRS["BTCUSDT"], INTERVALS["1m"], RawKline(0, 100), 60_000, closed=True)
    assert (kline.first_trade_id, kline.last_trade_id, kline.trades, kline.closed) == (-1, -1, 0, True)


@pytest.mark.parametrize(
    ("opened", "last", "change", "percent"),
    [
        (9_500_000, 9_712_345, "2123.45", "2.235"),
        (9_712_345, 9_500_000, "-2123.45", "-2.186"),
        (100, 100, "0.00", "0.000"),
    ],
    ids=["up", "down", "flat"],
)
def test_a_tickers_change_is_signed_and_relative_to_the_open(opened: int, last: int, change: str, percent: str) -> None:
    figures = DayFigures(opened, max(opened, last), min(opened, last), last, 100_000, 9_712_345_000_00, 42)
    ticker = ticker_of(PAIRS["BTCUSDT"], figures, 1_732_310_050_000)
    assert (ticker.change, ticker.change_percent) == (change, percent)
    assert ticker.last == decimal_text(last, 2)
    assert (ticker.volume, ticker.quote_volume, ticker.trades) == ("1.00000", "97123.4500000", 42)
    assert (ticker.symbol, ticker.event_time_ms) == ("BTCUSDT", 1_732_310_050_000)


@pytest.mark.parametrize(
    ("last", "trades", "bid", "ask"),
    [(9_712_345, 42, "97123.45", "97123.46"), (9_712_345, 43, "97123.44", "97123.45"), (1, 3, "0.01", "0.02")],
    ids=["at the bid", "at the ask", "no lower bid"],
)
def test_the_last_price_is_the_best_bid_or_ask_and_they_are_one_tick_apart(
    last: int, trades: int, bid: str, ask: str
) -> None:
    ticker = ticker_of(PAIRS["BTCUSDT"], DayFigures(last, last, last, last, 2_000, 3_000, trades), 0)
    assert (ticker.bid, ticker.ask) == (bid, ask)
    assert (ticker.bid_quantity, ticker.ask_quantity) == ("0.00007", "0.00010")
