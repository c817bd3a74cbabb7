"""The age of each symbol's newest update."""

from __future__ import annotations

import pytest

from gateway.config import MarketConfig
from gateway.market.market import Market
from gateway.ops.status.freshness import REUSE_MS, Age, Freshness
from tests.builders import T0, closed_klines, ticker_update

STALE_MS = 15_000


@pytest.fixture
def market() -> Market:
    market = Market(MarketConfig(intervals=("1m",)), 4)
    market.apply(ticker_update(symbol="NEWUSDT", event_time_ms=T0 + 20_000), T0)
    market.apply(ticker_update(symbol="OLDUSDT", event_time_ms=T0), T0)
    market.reseed("BARUSDT", "1m", closed_klines([0]), T0)
    market.get_or_create("ASKEDUSDT")
    return market


def test_the_oldest_symbol_is_first_and_symbols_without_data_are_left_out(market: Market) -> None:
    assert Freshness(market, STALE_MS).ages(T0) == [
        Age(0, "BARUSDT", lapsed=False),
        Age(T0, "OLDUSDT", lapsed=False),
        Age(T0 + 20_000, "NEWUSDT", lapsed=False),
    ]


def test_a_symbol_is_stale_if_too_old_or_expired_in_redis(market: Market) -> None:
    freshness = Freshness(market, STALE_MS)
    assert freshness.count_stale(T0 + STALE_MS) == 1
    now_ms = T0 + STALE_MS + 2 * REUSE_MS
    assert freshness.count_stale(now_ms) == 2
    market.lapse("NEWUSDT")
    now_ms += REUSE_MS
    assert freshness.count_stale(now_ms) == 3
    assert all(freshness.is_stale(age, now_ms) for age in freshness.ages(now_ms))


def test_within_a_second_all_callers_get_the_same_list(market: Market) -> None:
    freshness = Freshness(market, STALE_MS)
    before = freshness.ages(T0)
    market.apply(ticker_update(symbol="OLDUSDT", event_time_ms=T0 + 1), T0)
    assert freshness.ages(T0 + REUSE_MS - 1) is before
    assert freshness.ages(T0 + REUSE_MS) is not before


def test_a_clock_that_was_set_back_does_not_keep_an_old_list_alive(market: Market) -> None:
    freshness = Freshness(market, STALE_MS)
    before = freshness.ages(T0)
    assert freshness.ages(T0 - 3_600_000) is not before
