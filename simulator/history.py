"""The history of one pair: klines that end at the price and time at which the live prices begin.

Drawing hundreds of days minute by minute would take hours for a few hundred pairs. So the newest stretch is made of
short klines, and the stretches before it of longer ones. Each is as short as the intervals that reach back so far need,
so the klines of all intervals are exact sums of one history.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.interval import DAY_MS
from simulator.klines import RawKline
from simulator.random_walk import deviation, mean_reversion, typical_lots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from gateway.model.interval import Interval
    from simulator.pairs import Pair

LISTED_MS = 1_502_928_000_000
"""Earliest time of any history (2017-08-17). Without it, 500 monthly klines would reach back decades."""

_TRADES_PER_S = 5


class Stretch(NamedTuple):
    """A part of the history whose klines all have one length."""

    length_ms: int
    start_ms: int
    end_ms: int


def plan_stretches(intervals: Sequence[Interval], end_ms: int, count: int) -> list[Stretch]:
    """Stretches, newest first, that hold `count` whole klines of each interval and at least a day.

    `intervals`: ascending.
    """
    # Weeks open on Mondays and months on the first, so days are the longest klines that divide both.
    lengths = [
        interval.length_ms if interval.length_ms and not interval.anchor_ms else DAY_MS for interval in intervals
    ]
    stretches: list[Stretch] = []
    cursor = end_ms
    for place, interval in enumerate(intervals):
        length = gcd(*lengths[place:])
        # A stretch must begin where a kline of the next, longer stretch can end.
        align = gcd(*lengths[place + 1 :]) or length
        start = min(cursor, max(interval.back(interval.open_time(end_ms), count), LISTED_MS))
        if interval is intervals[-1]:
            start = min(start, end_ms - DAY_MS)
        start -= start % align
        if start < cursor:
            stretches.append(Stretch(length, start, cursor))
            cursor = start
    return stretches


def draw_history(pair: Pair, rng: Random, stretches: Sequence[Stretch], price: int, next_id: int) -> list[RawKline]:
    """The klines of all stretches, oldest first; the newest closes at `price`, just before trade `next_id`."""
    klines: list[RawKline] = []
    for length, start, end in stretches:
        for open_ms in range(end - length, start - 1, -length):
            kline = _draw(pair, rng, open_ms, length, price)
            next_id -= kline.trades
            kline.first_id = next_id
            klines.append(kline)
            price = max(1, kline.open + rng.randint(-1, 1))
    klines.reverse()
    return klines


def _draw(pair: Pair, rng: Random, open_ms: int, length_ms: int, close: int) -> RawKline:
    """Draw a kline that ends at `close`. Backwards in time, which looks the same for a mean-reverting random walk."""
    spread = deviation(pair, close, length_ms)
    drift = mean_reversion(close, pair.price_ticks, length_ms)
    kline = RawKline(open_ms, max(1, close + round(rng.gauss(0, 1) * spread + drift)))
    kline.close = close
    kline.high = max(kline.open, close) + int(abs(rng.gauss(0, 0.4)) * spread)
    kline.low = max(1, min(kline.open, close) - int(abs(rng.gauss(0, 0.4)) * spread))
    busyness = 0.4 + 1.2 * rng.random()
    kline.lots = 1 + int(typical_lots(pair, close, length_ms) * busyness)
    average = (kline.open + kline.high + kline.low + close) // 4
    kline.quote = kline.lots * average
    kline.taker_lots = int(kline.lots * (0.35 + 0.3 * rng.random()))
    kline.taker_quote = kline.taker_lots * average
    kline.trades = 1 + int(_TRADES_PER_S * length_ms / 1000 * busyness)
    return kline
