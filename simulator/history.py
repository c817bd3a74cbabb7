"""The past of one pair: bars that end at the price and instant the live walk begins with.

Walking hundreds of days minute by minute would take hours for a few hundred pairs. So the past is made of pieces: short
bars for the newest stretch, longer ones before it. Each piece is no longer than the intervals that reach back so far
need, so the bars of every interval are exact sums of one and the same past.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.interval import DAY_MS
from simulator.klines import Bar
from simulator.market import deviation, pull, typical_lots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from gateway.model.interval import Interval
    from simulator.pairs import Pair

LISTED_MS = 1_502_928_000_000
"""Nothing is older than this (2017-08-17, when the best-known exchange began): months would reach back decades."""

_TRADES_PER_S = 5


class Stretch(NamedTuple):
    """A piece of the past made of bars of one length."""

    length_ms: int
    start_ms: int
    end_ms: int


def plan(intervals: Sequence[Interval], end_ms: int, count: int) -> list[Stretch]:
    """Pieces, newest first, that hold `count` whole bars of each interval, and a day. `intervals`: ascending."""
    # Weeks open on Mondays and months on the first, so days are the longest bars both are made of.
    lengths = [
        interval.length_ms if interval.length_ms and not interval.anchor_ms else DAY_MS for interval in intervals
    ]
    stretches: list[Stretch] = []
    cursor = end_ms
    for place, interval in enumerate(intervals):
        length = gcd(*lengths[place:])
        # A stretch begins where a bar of the next, longer kind can end.
        align = gcd(*lengths[place + 1 :]) or length
        start = min(cursor, max(interval.back(interval.open_time(end_ms), count), LISTED_MS))
        if interval is intervals[-1]:
            start = min(start, end_ms - DAY_MS)
        start -= start % align
        if start < cursor:
            stretches.append(Stretch(length, start, cursor))
            cursor = start
    return stretches


def draw_past(pair: Pair, rng: Random, stretches: Sequence[Stretch], price: int, next_id: int) -> list[Bar]:
    """The bars of all stretches, oldest first; the newest closes at `price`, just before trade `next_id`."""
    bars: list[Bar] = []
    for length, start, end in stretches:
        for open_ms in range(end - length, start - 1, -length):
            bar = _draw(pair, rng, open_ms, length, price)
            next_id -= bar.trades
            bar.first_id = next_id
            bars.append(bar)
            price = max(1, bar.open + rng.randint(-1, 1))
    bars.reverse()
    return bars


def _draw(pair: Pair, rng: Random, open_ms: int, length_ms: int, close: int) -> Bar:
    """A bar that ends at `close`. Walked backwards: a walk that returns to a level looks the same both ways."""
    spread = deviation(pair, close, length_ms)
    drift = pull(close, pair.price_ticks, length_ms)
    bar = Bar(open_ms, max(1, close + round(rng.gauss(0, 1) * spread + drift)))
    bar.close = close
    bar.high = max(bar.open, close) + int(abs(rng.gauss(0, 0.4)) * spread)
    bar.low = max(1, min(bar.open, close) - int(abs(rng.gauss(0, 0.4)) * spread))
    busyness = 0.4 + 1.2 * rng.random()
    bar.lots = 1 + int(typical_lots(pair, close, length_ms) * busyness)
    average = (bar.open + bar.high + bar.low + close) // 4
    bar.quote = bar.lots * average
    bar.taker_lots = int(bar.lots * (0.35 + 0.3 * rng.random()))
    bar.taker_quote = bar.taker_lots * average
    bar.trades = 1 + int(_TRADES_PER_S * length_ms / 1000 * busyness)
    return bar
