"""Klines of all intervals of one symbol from its trades, and its figures of the last 24 hours. Pure integers.

Trades go into the shortest interval, and its closed klines are added to the longer ones. So a long kline equals the sum
of the short ones in it. A window without a trade closes flat at the last price.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.interval import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.model.interval import Interval
    from simulator.random_walk import Trade


class RawKline:
    """A kline in whole units: prices in ticks, volumes in lots, quote volumes in ticks x lots.

    Invariant: `low <= open, close <= high`.
    """

    __slots__ = (
        "close",
        "first_id",
        "high",
        "lots",
        "low",
        "open",
        "open_ms",
        "quote",
        "taker_lots",
        "taker_quote",
        "trades",
    )

    def __init__(self, open_ms: int, price: int) -> None:
        """A flat kline without a trade."""
        self.open_ms = open_ms
        self.open = self.high = self.low = self.close = price
        self.lots = self.quote = self.taker_lots = self.taker_quote = self.trades = 0
        self.first_id = -1

    def take(self, trade: Trade) -> None:
        """Add a trade."""
        price = trade.price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.lots += trade.lots
        self.quote += trade.lots * price
        self.taker_lots += trade.taker_lots
        self.taker_quote += trade.taker_lots * price
        if not self.trades:
            self.first_id = trade.first_id
        self.trades += trade.trades

    def fold(self, later: RawKline) -> None:
        """Add the next shorter kline within the window of this one."""
        if later.high > self.high:
            self.high = later.high
        if later.low < self.low:
            self.low = later.low
        self.close = later.close
        self.lots += later.lots
        self.quote += later.quote
        self.taker_lots += later.taker_lots
        self.taker_quote += later.taker_quote
        if not self.trades:
            self.first_id = later.first_id
        self.trades += later.trades

    def copy(self, open_ms: int) -> RawKline:
        """A copy that opens at `open_ms`."""
        kline = RawKline(open_ms, self.open)
        kline.high, kline.low, kline.close = self.high, self.low, self.close
        kline.lots, kline.quote, kline.trades, kline.first_id = self.lots, self.quote, self.trades, self.first_id
        kline.taker_lots, kline.taker_quote = self.taker_lots, self.taker_quote
        return kline

    def figures(self) -> tuple[int, ...]:
        """All fields, for comparison."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawKline) and self.figures() == other.figures()

    def __repr__(self) -> str:
        return f"RawKline({', '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)})"


def aggregate(klines: Iterable[RawKline], interval: Interval) -> list[RawKline]:
    """Aggregate consecutive klines into those of a longer interval; the last one may be incomplete."""
    longer_klines: list[RawKline] = []
    next_open = -1
    for kline in klines:
        if kline.open_ms >= next_open:
            longer_klines.append(kline.copy(interval.open_time(kline.open_ms)))
            next_open = interval.next_open(longer_klines[-1].open_ms)
        else:
            longer_klines[-1].fold(kline)
    return longer_klines


class FormingKlines:
    """The forming klines of one symbol. Trades must come in order and within the open window."""

    def __init__(
        self, intervals: Sequence[Interval], open_ms: int, price: int, longer: Sequence[RawKline | None] = ()
    ) -> None:
        """`intervals`: ascending; each must consist of whole windows of the first one.

        The first kline opens at `open_ms`. `longer`: for each further interval, what its open window already contains.
        """
        self._intervals = intervals
        self._price = price
        self._open_ms = open_ms
        self._finest: RawKline | None = None
        # Of each longer interval: the sum of the closed finest klines in its window, and the end of the window.
        self._longer: list[RawKline | None] = list(longer) or [None for _ in intervals[1:]]
        self._ends = [interval.next_open(interval.open_time(open_ms)) for interval in intervals[1:]]
        self.next_close_ms = intervals[0].next_open(open_ms)

    @property
    def finest(self) -> RawKline | None:
        """The forming kline of the finest interval; `None` before its first trade."""
        return self._finest

    def take(self, trade: Trade) -> None:
        """Add a trade to the open window."""
        assert self._open_ms <= trade.time_ms < self.next_close_ms, "a trade outside of the open window"
        if self._finest is None:
            self._finest = RawKline(self._open_ms, trade.price)
        self._finest.take(trade)
        self._price = trade.price

    def close(self) -> list[tuple[Interval, RawKline]]:
        """Close the finest kline, and every longer one that ends with it; returns them, the finest first."""
        finest = self._finest or RawKline(self._open_ms, self._price)
        closed = [(self._intervals[0], finest)]
        end = self.next_close_ms
        for place, interval in enumerate(self._intervals[1:]):
            longer = self._longer[place]
            if longer is None:
                longer = self._longer[place] = finest.copy(interval.open_time(finest.open_ms))
            else:
                longer.fold(finest)
            if end == self._ends[place]:
                closed.append((interval, longer))
                self._longer[place] = None
                self._ends[place] = interval.next_open(end)
        self._finest = None
        self._open_ms = end
        self.next_close_ms = self._intervals[0].next_open(end)
        return closed

    def forming(self) -> list[tuple[Interval, RawKline]]:
        """The open klines; those without a trade are left out."""
        finest = self._finest
        forming = [] if finest is None else [(self._intervals[0], finest)]
        for interval, longer in zip(self._intervals[1:], self._longer, strict=True):
            if longer is not None:
                kline = longer.copy(longer.open_ms)
                if finest is not None:
                    kline.fold(finest)
                forming.append((interval, kline))
            elif finest is not None:
                forming.append((interval, finest.copy(interval.open_time(finest.open_ms))))
        return forming


class DayFigures(NamedTuple):
    """Figures of the 24 hours up to the last trade; units as in `RawKline`."""

    open: int
    high: int
    low: int
    last: int
    lots: int
    quote: int
    trades: int


class RollingDay:
    """The closed klines of the last 24 hours, of which the ticker's figures are made.

    A kline leaves as a whole. The work per kline is constant (monotonic queues hold the extremes), because hundreds of
    symbols close their klines at the same time.
    """

    def __init__(self) -> None:
        self._klines: deque[RawKline] = deque()
        self._highs: deque[RawKline] = deque()
        self._lows: deque[RawKline] = deque()
        self._lots = self._quote = self._trades = 0

    def add(self, kline: RawKline, end_ms: int) -> None:
        """Append a closed kline whose window ends at `end_ms`; drop those that opened more than 24 h before."""
        while self._highs and self._highs[-1].high <= kline.high:
            self._highs.pop()
        while self._lows and self._lows[-1].low >= kline.low:
            self._lows.pop()
        for queue in (self._klines, self._highs, self._lows):
            queue.append(kline)
        self._add_sums(kline, 1)
        start_ms = end_ms - DAY_MS
        while self._klines[0].open_ms < start_ms and len(self._klines) > 1:
            self._add_sums(self._klines.popleft(), -1)
        for queue in (self._highs, self._lows):
            while queue[0].open_ms < self._klines[0].open_ms:
                queue.popleft()

    def figures(self, forming: RawKline | None) -> DayFigures:
        """Figures including the forming kline, if there is one. At least one kline must have been added."""
        high, low, last = self._highs[0].high, self._lows[0].low, self._klines[-1].close
        if forming is None:
            return DayFigures(self._klines[0].open, high, low, last, self._lots, self._quote, self._trades)
        return DayFigures(
            self._klines[0].open,
            max(high, forming.high),
            min(low, forming.low),
            forming.close,
            self._lots + forming.lots,
            self._quote + forming.quote,
            self._trades + forming.trades,
        )

    def _add_sums(self, kline: RawKline, sign: int) -> None:
        self._lots += sign * kline.lots
        self._quote += sign * kline.quote
        self._trades += sign * kline.trades
