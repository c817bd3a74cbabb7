from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from gateway.market.aggregate import combine
from gateway.model.interval import DAY_MS, INTERVALS
from gateway.replay.rolling_day import RollingDay
from tests.builders import kline

if TYPE_CHECKING:
    from gateway.model.kline import Kline


def some(count: int, interval: str = "1m", *, seed: int = 1, missing: float = 0.0) -> list[Kline]:
    """Klines of a market that moves at random, of which some are missing and some have no trades."""
    draw = random.Random(seed)
    found: list[Kline] = []
    for number in range(count):
        prices = sorted(draw.sample(range(1, 10_000), 4))
        trades = draw.choice((0, 1, 7))
        volume = f"{draw.randrange(1000)}.{draw.randrange(10)}" if trades else "0"
        text = f"{prices[1]} {prices[3]} {prices[0]} {prices[2]}"
        if draw.random() >= missing:
            found.append(
                kline(number, text, interval=interval, closed=True, event_time_ms=0, volume=volume, trades=trades)
            )
    return found


def expected(klines: list[Kline]) -> Kline:
    """All klines of the last 24 h combined at once."""
    begin_ms = klines[-1].close_time_ms + 1 - DAY_MS
    day = [one for one in klines if one.open_time_ms >= begin_ms] or klines[-1:]
    return combine(day, day[0].open_time_ms, day[-1].close_time_ms)


@pytest.mark.parametrize(
    ("interval", "count", "missing"),
    [
        ("1m", 1700, 0.0),
        ("1m", 1700, 0.3),
        ("1m", 1700, 0.99),
        ("15m", 300, 0.1),
        ("1h", 80, 0.0),
        ("8h", 12, 0.0),
        ("1d", 5, 0.0),
        ("1w", 4, 0.0),
    ],
)
def test_a_day_is_what_its_klines_make_together(interval: str, count: int, missing: float) -> None:
    klines = some(count, interval, missing=missing)
    day = RollingDay(INTERVALS[interval])
    every = max(1, len(klines) // 100)
    for number, one in enumerate(klines, 1):
        made = day.add(one)
        if number % every == 0 or number == len(klines):
            assert made == expected(klines[:number])


def test_after_a_day_without_klines_it_begins_anew() -> None:
    before, after = some(200), kline(5000, closed=True, event_time_ms=0)
    day = RollingDay(INTERVALS["1m"])
    for one in before:
        day.add(one)
    assert day.add(after) == expected([after])
