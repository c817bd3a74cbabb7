"""The states that a kline may have gone through, where nothing shorter is stored: a few, made up. Pure.

True are the open, the extremes and the close; made up are when the price was there, and whether it rose or fell first.
The convention is that of chart programs that test strategies on bars: a kline that closes below its open went up first,
any other one down first. Volumes are not made up: they are 0 until the kline has closed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model.kline import Kline

STEPS = 4
"""Open, one extreme, the other one, close: each a quarter of the kline's time after the one before."""


def walk(kline: Kline) -> tuple[Kline, ...]:
    """The forming states of a closed kline, ascending by event time; states that change nothing are left out."""
    first, high, low, last = kline.open, kline.high, kline.low, kline.close
    falls = Decimal(last) < Decimal(first)
    prices = [
        (first, first, first),
        (high, first, high) if falls else (first, low, low),
        (high, low, low if falls else high),
        (high, low, last),
    ]
    span_ms = kline.close_time_ms + 1 - kline.open_time_ms
    states: list[Kline] = []
    for step, (highest, lowest, price) in enumerate(prices):
        if not states or states[-1][3:6] != (highest, lowest, price):
            at_ms = kline.open_time_ms + step * span_ms // STEPS
            states.append(_state(kline, highest, lowest, price, at_ms))
    return tuple(states)


def _state(kline: Kline, high: str, low: str, price: str, at_ms: int) -> Kline:
    return kline._replace(
        high=high,
        low=low,
        close=price,
        volume="0",
        quote_volume="0",
        trades=0,
        taker_volume="0",
        taker_quote_volume="0",
        first_trade_id=-1,
        last_trade_id=-1,
        closed=False,
        provisional=True,
        event_time_ms=at_ms,
    )
