"""The rolling 24 hours of one symbol, from which its ticker is made.

Moves with the finest bars: a bar leaves as a whole. Constant work per bar (extremes are kept in monotonic queues),
because hundreds of symbols close their bars in the same instant.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.interval import DAY_MS

if TYPE_CHECKING:
    from simulator.klines import Bar


class Figures(NamedTuple):
    """The 24 hours up to the last price; units as in `Bar`."""

    open: int
    high: int
    low: int
    last: int
    lots: int
    quote: int
    trades: int


class Day:
    """Holds consecutive closed bars; the one that is forming is passed in when figures are asked for."""

    def __init__(self) -> None:
        self._bars: deque[Bar] = deque()
        self._highs: deque[Bar] = deque()
        self._lows: deque[Bar] = deque()
        self._lots = self._quote = self._trades = 0

    def add(self, bar: Bar, end_ms: int) -> None:
        """Append a closed bar whose window ends at `end_ms`; what opened 24 h before that leaves."""
        while self._highs and self._highs[-1].high <= bar.high:
            self._highs.pop()
        while self._lows and self._lows[-1].low >= bar.low:
            self._lows.pop()
        for queue in (self._bars, self._highs, self._lows):
            queue.append(bar)
        self._tally(bar, 1)
        start_ms = end_ms - DAY_MS
        while self._bars[0].open_ms < start_ms and len(self._bars) > 1:
            self._tally(self._bars.popleft(), -1)
        for queue in (self._highs, self._lows):
            while queue[0].open_ms < self._bars[0].open_ms:
                queue.popleft()

    def figures(self, forming: Bar | None) -> Figures:
        """At least one bar must have been added."""
        high, low, last = self._highs[0].high, self._lows[0].low, self._bars[-1].close
        if forming is None:
            return Figures(self._bars[0].open, high, low, last, self._lots, self._quote, self._trades)
        return Figures(
            self._bars[0].open,
            max(high, forming.high),
            min(low, forming.low),
            forming.close,
            self._lots + forming.lots,
            self._quote + forming.quote,
            self._trades + forming.trades,
        )

    def _tally(self, bar: Bar, sign: int) -> None:
        self._lots += sign * bar.lots
        self._quote += sign * bar.quote
        self._trades += sign * bar.trades
