"""Divides a kline into shorter ones that sum up to it to the last digit. Pure but for its random source.

A history of months is drawn in long klines; where somebody looks closer, the minutes inside them are drawn. The prices
are a random walk from open to close that is reflected at high and low.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from simulator.klines import RawKline
from simulator.random_walk import deviation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from simulator.pairs import Pair

_WEIGHT = 1000
_LEAST_WEIGHT = 100


def divide(pair: Pair, rng: Random, kline: RawKline, length_ms: int, part_ms: int) -> list[RawKline]:
    """Klines of `part_ms` whose aggregate is `kline`, of which each trades within its own high and low.

    `length_ms`: of `kline`, a multiple of `part_ms`. It must have a trade and a lot for each part.
    """
    count = length_ms // part_ms
    step = deviation(pair, kline.close, part_ms)
    closes = _closes(rng, kline, count, step)
    opens = [kline.open, *closes[:-1]]
    # Half a step on average.
    highs = [min(kline.high, max(ends) + int(step * rng.random())) for ends in zip(opens, closes, strict=True)]
    lows = [max(kline.low, min(ends) - int(step * rng.random())) for ends in zip(opens, closes, strict=True)]
    highs[highs.index(max(highs))] = kline.high
    lows[lows.index(min(lows))] = kline.low
    weights = _weights(rng, kline, highs, lows)
    lots = [1 + share for share in _shares(kline.lots - count, weights)]
    trades = [1 + share for share in _shares(kline.trades - count, weights)]
    quotes = _quotes(kline, lots, highs, lows)
    taker_lots = _shares(kline.taker_lots, lots)
    taker_quotes = _shares(kline.taker_quote, [a * b // c for a, b, c in zip(taker_lots, quotes, lots, strict=True)])
    parts = []
    first_id = kline.first_id
    for place in range(count):
        part = RawKline(kline.open_ms + place * part_ms, opens[place])
        part.high, part.low, part.close = highs[place], lows[place], closes[place]
        part.lots, part.quote, part.trades, part.first_id = lots[place], quotes[place], trades[place], first_id
        part.taker_lots, part.taker_quote = taker_lots[place], taker_quotes[place]
        first_id += part.trades
        parts.append(part)
    return parts


def _closes(rng: Random, kline: RawKline, count: int, step: float) -> list[int]:
    """The closes of the parts. `step`: standard deviation of one."""
    walk = list(accumulate(rng.gauss(0, step) for _ in range(count)))
    # What leads from open to close, and a bow that has the average price of the trades as its average.
    tilt = (kline.close - kline.open - walk[-1]) / count
    average = sum(walk) / count + tilt * (count + 1) / 2
    bow = 6 * (kline.quote / kline.lots - kline.open - average) / (count * count)
    low, width = kline.low, kline.high - kline.low
    closes = []
    for place, moved in enumerate(walk, 1):
        above = kline.open + moved + place * (tilt + bow * (count - place)) - low
        # Reflected at both edges as often as needed.
        above = abs((above + width) % (2 * width) - width) if width else 0
        closes.append(low + round(above))
    closes[-1] = kline.close
    return closes


def _weights(rng: Random, kline: RawKline, highs: Sequence[int], lows: Sequence[int]) -> list[int]:
    """How busy the parts are: so that the middle of their prices has the average price of the trades as its average."""
    weights = [0.4 + 1.2 * rng.random() for _ in highs]
    average = kline.quote / kline.lots
    off = [(high + low) / 2 - average for high, low in zip(highs, lows, strict=True)]
    squares = sum(weight * each * each for weight, each in zip(weights, off, strict=True))
    lean = sum(weight * each for weight, each in zip(weights, off, strict=True)) / squares if squares else 0.0
    return [
        max(_LEAST_WEIGHT, int(_WEIGHT * weight * (1 - lean * each))) for weight, each in zip(weights, off, strict=True)
    ]


def _quotes(kline: RawKline, lots: Sequence[int], highs: list[int], lows: list[int]) -> list[int]:
    """The quote volumes of the parts, each between its low and its high; where they do not reach, these are widened."""
    least = [lot * low for lot, low in zip(lots, lows, strict=True)]
    place = 0
    while sum(least) > kline.quote:
        lows[place] = kline.low
        least[place] = lots[place] * kline.low
        place += 1
    room = [lot * high - each for lot, high, each in zip(lots, highs, least, strict=True)]
    place = 0
    while sum(least) + sum(room) < kline.quote:
        highs[place] = kline.high
        room[place] = lots[place] * kline.high - least[place]
        place += 1
    shares = _shares(kline.quote - sum(least), room)
    return [each + share for each, share in zip(least, shares, strict=True)]


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole shares by weight; none is above its weight where the total is not above their sum."""
    left, shares = sum(weights), []
    for weight in weights:
        share = total * weight // left if left else 0
        shares.append(share)
        total -= share
        left -= weight
    return shares
