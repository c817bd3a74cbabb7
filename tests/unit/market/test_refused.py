"""Closed klines that were refused: each once, until it comes in a usable form."""

from __future__ import annotations

from gateway.config import MarketConfig
from gateway.market.market import Market
from gateway.market.refused import REFUSED_MAX, RefusedKline, RefusedKlines
from tests.builders import MINUTE_MS, T0, kline, kline_update


def test_a_refused_kline_is_listed_once_with_its_first_reason() -> None:
    refused, market = RefusedKlines(), Market(MarketConfig(intervals=("1m",)), 4)
    refused.add("BTCUSDT", "1m", T0, "not_positive", T0 + 1)
    refused.add("BTCUSDT", "1m", T0, "negative", T0 + 2)
    refused.add("BTCUSDT", "1m", T0 + MINUTE_MS, "negative", T0 + 3)
    assert refused.missing(market) == [
        RefusedKline("BTCUSDT", "1m", T0 + MINUTE_MS, "negative", T0 + 3),
        RefusedKline("BTCUSDT", "1m", T0, "not_positive", T0 + 1),
    ]


def test_a_kline_that_came_later_is_no_longer_listed() -> None:
    refused, market = RefusedKlines(), Market(MarketConfig(intervals=("1m",)), 4)
    refused.add("BTCUSDT", "1m", T0, "negative", T0)
    market.apply(kline_update(kline(0, closed=True)), T0)
    assert refused.missing(market) == []
    assert refused.missing(Market(MarketConfig(intervals=("1m",)), 4)) == [], "for good"


def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    refused, market = RefusedKlines(), Market(MarketConfig(intervals=("1m",)), 4)
    for number in range(REFUSED_MAX + 1):
        refused.add("BTCUSDT", "1m", T0 + number * MINUTE_MS, "negative", T0)
    found = refused.missing(market)
    assert (len(found), found[-1].open_time_ms) == (REFUSED_MAX, T0 + MINUTE_MS)
