"""The minutes inside a long kline: they sum up to it, whatever it looks like, and each could be true by itself."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from gateway.model.interval import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS
from simulator.division import divide
from simulator.history import Stretch, draw_history
from simulator.klines import RawKline, aggregate
from simulator.pairs import PAIRS

OPEN_MS = 1_732_320_000_000
BTC = PAIRS["BTCUSDT"]


def kline(open_: int, high: int, low: int, close: int, lots: int = 600, quote: int | None = None) -> RawKline:
    made = RawKline(OPEN_MS, open_)
    made.high, made.low, made.close = high, low, close
    made.lots, made.taker_lots, made.trades, made.first_id = lots, lots // 3, lots // 2, 70
    made.quote = lots * ((open_ + high + low + close) // 4) if quote is None else quote
    made.taker_quote = made.quote // 3
    return made


def check(whole: RawKline, parts: list[RawKline]) -> None:
    assert aggregate(parts, INTERVALS["1h"]) == [whole]
    assert [part.open_ms for part in parts] == [OPEN_MS + place * MINUTE_MS for place in range(60)]
    for part in parts:
        assert whole.low <= part.low <= min(part.open, part.close)
        assert max(part.open, part.close) <= part.high <= whole.high
        assert part.lots * part.low <= part.quote <= part.lots * part.high
        assert 0 <= part.taker_lots <= part.lots
        assert part.trades >= 1
        assert part.lots >= 1
    for before, part in itertools.pairwise(parts):
        assert part.open == before.close
        assert part.first_id == before.first_id + before.trades


@pytest.mark.parametrize(
    "whole",
    [
        kline(9_700_000, 9_790_000, 9_640_000, 9_720_000, 5_000_000),
        kline(9_700_000, 9_700_000, 9_700_000, 9_700_000),
        kline(9_700_000, 9_700_001, 9_699_999, 9_700_000),
        kline(9_700_000, 9_900_000, 9_700_000, 9_900_000),
        kline(2, 3, 1, 1, 60),
        kline(9_700_000, 9_800_000, 9_600_000, 9_700_000, quote=600 * 9_600_000),
        kline(9_700_000, 9_800_000, 9_600_000, 9_700_000, quote=600 * 9_800_000),
        kline(9_700_000, 9_800_000, 9_600_000, 9_700_000, quote=600 * 9_790_000),
        kline(9_700_000, 9_800_000, 9_600_000, 9_700_000, quote=600 * 9_610_000),
    ],
    ids=["usual", "flat", "ticks", "rising", "tiny", "all low", "all high", "nearly high", "nearly low"],
)
@pytest.mark.parametrize("seed", range(20))
def test_an_hour_is_the_sum_of_its_minutes(whole: RawKline, seed: int) -> None:
    whole.trades = max(whole.trades, 60)
    check(whole, divide(BTC, Random(seed), whole, HOUR_MS, MINUTE_MS))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "PEPEUSDT", "BTCTRY", "ETHBTC", "USDCUSDT", "STMXUSDT"])
def test_what_the_history_draws_can_be_divided(symbol: str) -> None:
    pair = PAIRS[symbol]
    hours = draw_history(pair, Random(symbol), [Stretch(HOUR_MS, 0, 2 * DAY_MS)], pair.price_ticks, 5_000_000)
    minutes = [part for hour in hours for part in divide(pair, Random(hour.open_ms), hour, HOUR_MS, MINUTE_MS)]
    assert aggregate(minutes, INTERVALS["1h"]) == hours
    assert len({part.lots for part in minutes}) > 60


def test_every_listed_pair_has_a_lot_and_a_trade_for_each_minute() -> None:
    for pair in PAIRS.values():
        quarters = draw_history(pair, Random(1), [Stretch(5 * MINUTE_MS, 0, DAY_MS)], pair.price_ticks, 5_000_000)
        assert min(min(quarter.lots, quarter.trades) for quarter in quarters) >= 5, pair


def test_minutes_are_the_same_for_the_same_random_source() -> None:
    whole = kline(9_700_000, 9_790_000, 9_640_000, 9_720_000, 5_000_000)
    first = divide(BTC, Random("a"), whole, HOUR_MS, MINUTE_MS)
    assert divide(BTC, Random("a"), whole, HOUR_MS, MINUTE_MS) == first
    assert divide(BTC, Random("b"), whole, HOUR_MS, MINUTE_MS) != first


def test_minutes_move_like_a_market_and_not_in_a_line() -> None:
    whole = kline(9_700_000, 9_760_000, 9_640_000, 9_720_000, 5_000_000)
    parts = divide(BTC, Random(3), whole, HOUR_MS, MINUTE_MS)
    rising = sum(part.close > part.open for part in parts)
    assert 15 < rising < 45
    assert len({part.close for part in parts}) > 50
