"""Longer klines out of archived ones have the digits that they have when they are made of all parts at once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from gateway.archive.blocks import columns_of
from gateway.archive.grains import DAY, HOUR, Windows, edge_of, grain_of, pieces, within
from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import INTERVALS, MINUTE_MS
from tests.unit.archive.klines import T0, kline, run

if TYPE_CHECKING:
    from gateway.model.kline import Kline

MINUTE = INTERVALS["1m"]


def varied(first: int, last: int, seed: int = 1) -> list[Kline]:
    """Klines of which no two are alike, some without trades, some with ids of trades."""
    draw = random.Random(seed)

    def one(number: int) -> Kline:
        low, high = draw.randint(1, 50), draw.randint(50, 99)
        base = kline(number)._replace(
            open=f"970.{draw.randint(low, high)}",
            high=f"970.{high}{'0' * draw.randint(0, 2)}",
            low=f"970.{low:02}",
            close=f"970.{draw.randint(low, high)}",
            volume=f"{draw.random() * 9:.{draw.randint(1, 8)}f}",
            quote_volume=f"{draw.random() * 9e6:.7f}",
            trades=draw.randint(1, 99),
        )
        if draw.random() < 0.1:
            return base._replace(volume="0.000", quote_volume="0", trades=0, taker_volume="0", taker_quote_volume="0")
        return base._replace(first_trade_id=number * 10, last_trade_id=number * 10 + 9)

    return [one(number) for number in range(first, last + 1)]


def made(klines: list[Kline], whole: str, *, skip: bool = False, step: int = 500) -> list[Kline]:
    """By way of columns of `step` klines."""
    known = INTERVALS[whole]
    windows = Windows(known, klines[0].open_time_ms, klines[-1].open_time_ms, skip=skip)
    for first in range(0, len(klines), step):
        for piece, covered_ms in pieces(columns_of(klines[first : first + step]), MINUTE, known):
            windows.add(piece, covered_ms)
    windows.close()
    return windows.closed


@pytest.mark.parametrize("step", [1, 59, 500])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("whole", ["5m", "1h", "4h"])
def test_pieces_come_out_as_the_parts_do(whole: str, skip: bool, step: int) -> None:
    klines = varied(7, 1500)
    del klines[400:403], klines[900:1000]
    assert made(klines, whole, skip=skip, step=step) == aggregate_closed(klines, MINUTE, INTERVALS[whole], skip=skip)


def test_days_made_of_hours_are_those_made_of_minutes() -> None:
    klines = varied(0, 3 * 1440 - 1)
    hours = aggregate_closed(klines, MINUTE, HOUR)
    windows = Windows(DAY, T0, klines[-1].open_time_ms, skip=False)
    windows.add_all(hours)
    windows.close()
    assert windows.closed == aggregate_closed(klines, MINUTE, DAY)


def test_a_day_is_the_week_that_has_no_other_pieces_only_where_it_covers_it() -> None:
    (day,) = aggregate_closed(varied(0, 1439), MINUTE, DAY)
    windows = Windows(DAY, T0, T0, skip=False)
    windows.add_all([day])
    assert windows.rest == [day]
    windows.close()
    assert (windows.rest, windows.closed) == ([], [day])
    week = Windows(INTERVALS["1w"], T0, T0, skip=False)
    week.add_all([day])
    week.close()
    assert week.closed == []


def test_prices_that_are_equal_as_floats_are_compared_by_their_digits() -> None:
    one, other = "0.12345678901234567890", "0.12345678901234567891"
    assert float(one) == float(other)
    klines = [kline(0)._replace(high=one, low=one), kline(1)._replace(high=other, low=other)]
    ((whole, covered_ms),) = pieces(columns_of(klines), MINUTE, HOUR)
    assert (whole.high, whole.low, covered_ms) == (other, one, 2 * MINUTE_MS)


def test_columns_are_cut_by_open_time() -> None:
    klines = run(0, 9)
    found = columns_of(klines)
    assert within(found, 0, 1 << 60) == found
    assert within(found, klines[2].open_time_ms, klines[5].open_time_ms) == columns_of(klines[2:5])


@pytest.mark.parametrize(
    ("part", "whole", "grain", "edge"),
    [
        ("1m", "1M", "1d", "1h"),
        ("1m", "1d", "1d", "1h"),
        ("1m", "4h", "1h", "1h"),
        ("1s", "1h", "1h", "1h"),
        ("1m", "15m", None, "15m"),
        ("1h", "1w", "1d", "1d"),
        ("1h", "4h", None, "4h"),
        ("1d", "1M", None, "1M"),
    ],
)
def test_what_longer_klines_are_made_by_way_of(part: str, whole: str, grain: str | None, edge: str) -> None:
    found = grain_of(INTERVALS[part], INTERVALS[whole])
    assert (found and found.name) == grain
    assert edge_of(INTERVALS[part], INTERVALS[whole]).name == edge
