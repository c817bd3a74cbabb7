"""Klines to archive."""

from __future__ import annotations

from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline

T0 = 1_700_006_400_000
"""Begins a block of 1m klines, an hour, and a day."""


def kline(number: int, interval: str = "1m", close: str = "97000.10") -> Kline:
    """The closed kline `number` windows after `T0`, with digits that a float would lose."""
    known = INTERVALS[interval]
    opened_ms = T0
    for _ in range(0 if known.length_ms else number):
        opened_ms = known.next_open(opened_ms)
    opened_ms += number * known.length_ms
    return Kline(
        *(opened_ms, known.close_time(opened_ms), "97000.00", "97100.50", "96900.00", close),
        *("1.50000", f"{145_500 + number}.7500000", 42 + number, "0.70000", "67900.0000000"),
        closed=True,
    )


def run(first: int, last: int, interval: str = "1m") -> list[Kline]:
    """The klines from `first` to `last`, both included."""
    return [kline(number, interval) for number in range(first, last + 1)]
