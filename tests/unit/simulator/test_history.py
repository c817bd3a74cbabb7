"""The history: enough whole klines for every interval, without a hole, ending where the live walk begins."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from gateway.model.interval import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS
from simulator.history import LISTED_MS, Stretch, draw_history, plan_stretches
from simulator.pairs import PAIRS

NOW = 1_732_310_067_123
USUAL = ("1m", "5m", "15m", "1h", "4h", "1d")


def planned(names: tuple[str, ...], count: int, now_ms: int = NOW) -> tuple[list[Stretch], int]:
    intervals = [INTERVALS[name] for name in INTERVALS if name in names]
    end_ms = intervals[0].open_time(now_ms)
    return plan_stretches(intervals, end_ms, count), end_ms


@pytest.mark.parametrize(
    "names",
    [USUAL, ("1m",), ("1s", "1m"), ("1m", "3m", "5m", "30m"), ("1m", "3d", "1w"), tuple(INTERVALS)],
    ids="-".join,
)
@pytest.mark.parametrize("count", [1, 2, 500])
@pytest.mark.parametrize("now_ms", [NOW, NOW - NOW % DAY_MS, NOW - NOW % DAY_MS - 1], ids=["any", "midnight", "before"])
def test_every_interval_gets_its_klines_without_a_gap(names: tuple[str, ...], count: int, now_ms: int) -> None:
    stretches, cursor = planned(names, count, now_ms)
    end_ms = cursor
    for stretch in stretches:
        assert stretch.end_ms == cursor
        assert stretch.start_ms < stretch.end_ms
        assert (stretch.end_ms - stretch.start_ms) % stretch.length_ms == 0
        cursor = stretch.start_ms
    assert cursor <= end_ms - DAY_MS
    for name in names:
        interval = INTERVALS[name]
        first = max(interval.back(interval.open_time(end_ms), count), LISTED_MS)
        assert cursor <= first
        for stretch in stretches:
            if stretch.end_ms > first and interval.length_ms:
                assert interval.length_ms % stretch.length_ms == 0
                assert (stretch.end_ms - interval.anchor_ms) % stretch.length_ms == 0


def test_old_stretches_are_made_of_long_klines() -> None:
    stretches, _ = planned(USUAL, 500)
    assert [stretch.length_ms for stretch in stretches] == [
        MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 4 * HOUR_MS, DAY_MS,
    ]  # fmt: skip
    assert sum((stretch.end_ms - stretch.start_ms) // stretch.length_ms for stretch in stretches) < 3_000


@pytest.mark.parametrize("symbol", ["BTCUSDT", "PEPEUSDT", "BTCTRY", "ETHBTC"])
def test_history_is_plausible_and_ends_at_the_live_price(symbol: str) -> None:
    pair = PAIRS[symbol]
    stretches, end_ms = planned(USUAL, 100)
    klines = draw_history(pair, Random("history"), stretches, pair.price_ticks, 5_000_000)
    assert klines[0].open_ms == stretches[-1].start_ms
    assert klines[-1].open_ms == end_ms - MINUTE_MS
    assert klines[-1].close == pair.price_ticks
    assert klines[-1].first_id + klines[-1].trades == 5_000_000
    for kline in klines:
        assert 1 <= kline.low <= min(kline.open, kline.close)
        assert max(kline.open, kline.close) <= kline.high
        assert kline.lots >= 1
        assert kline.lots * kline.low <= kline.quote <= kline.lots * kline.high
        assert 0 <= kline.taker_lots <= kline.lots
        assert pair.price_ticks / 6 < kline.close < pair.price_ticks * 6
    for before, kline in itertools.pairwise(klines):
        assert before.open_ms < kline.open_ms
        assert abs(kline.open - before.close) <= 1
        assert before.first_id + before.trades == kline.first_id


def test_history_is_the_same_for_the_same_random_source() -> None:
    pair = PAIRS["BTCUSDT"]
    stretches, _ = planned(("1m",), 10)
    first = draw_history(pair, Random("a"), stretches, 100_000, 1)
    assert draw_history(pair, Random("a"), stretches, 100_000, 1) == first
    assert draw_history(pair, Random("b"), stretches, 100_000, 1) != first


def test_a_price_of_one_tick_has_a_history() -> None:
    klines = draw_history(PAIRS["PEPEUSDT"], Random("floor"), [Stretch(DAY_MS, 0, 100 * DAY_MS)], 1, 1)
    assert all(kline.low >= 1 for kline in klines)
