"""Trades to bars, for all intervals of one symbol at once.

The finest interval takes the trades; every longer bar is folded from the finest ones. So a long bar equals the short
ones it contains by construction. A window without a trade closes flat at the last price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.model.interval import Interval
    from simulator.market import Trade


class Bar:
    """Prices in ticks, volumes in lots, quote volumes in ticks x lots. `low <= open, close <= high`, always."""

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
        """A flat bar: a price, no trade yet."""
        self.open_ms = open_ms
        self.open = self.high = self.low = self.close = price
        self.lots = self.quote = self.taker_lots = self.taker_quote = self.trades = 0
        self.first_id = -1

    def take(self, trade: Trade) -> None:
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

    def fold(self, later: Bar) -> None:
        """Add the bar that follows inside this one's window."""
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

    def copy(self, open_ms: int) -> Bar:
        """The same figures as the beginning of a bar that opens at `open_ms`."""
        bar = Bar(open_ms, self.open)
        bar.high, bar.low, bar.close = self.high, self.low, self.close
        bar.lots, bar.quote, bar.trades, bar.first_id = self.lots, self.quote, self.trades, self.first_id
        bar.taker_lots, bar.taker_quote = self.taker_lots, self.taker_quote
        return bar

    def figures(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bar) and self.figures() == other.figures()

    def __repr__(self) -> str:
        return f"Bar({', '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)})"


def roll_up(bars: Iterable[Bar], interval: Interval) -> list[Bar]:
    """Longer bars from consecutive shorter ones; the last may be incomplete."""
    rolled: list[Bar] = []
    next_open = -1
    for bar in bars:
        if bar.open_ms >= next_open:
            rolled.append(bar.copy(interval.open_time(bar.open_ms)))
            next_open = interval.next_open(rolled[-1].open_ms)
        else:
            rolled[-1].fold(bar)
    return rolled


class Bars:
    """The forming bars of one symbol. Trades are taken in order and within the window that is open."""

    def __init__(
        self, intervals: Sequence[Interval], open_ms: int, price: int, longer: Sequence[Bar | None] = ()
    ) -> None:
        """`intervals`: ascending, each window made of whole windows of the first.

        The first bar opens at `open_ms`; `longer` is what has gone into the bars of the other intervals before.
        """
        self._intervals = intervals
        self._price = price
        self._open_ms = open_ms
        self._finest: Bar | None = None
        # Of the longer intervals: what the closed finest bars of the window add up to, and where it ends.
        self._longer: list[Bar | None] = list(longer) or [None for _ in intervals[1:]]
        self._ends = [interval.next_open(interval.open_time(open_ms)) for interval in intervals[1:]]
        self.next_close_ms = intervals[0].next_open(open_ms)

    @property
    def finest(self) -> Bar | None:
        """The forming bar of the finest interval; `None` before its first trade."""
        return self._finest

    def take(self, trade: Trade) -> None:
        assert self._open_ms <= trade.time_ms < self.next_close_ms, "a trade outside of the open window"
        if self._finest is None:
            self._finest = Bar(self._open_ms, trade.price)
        self._finest.take(trade)
        self._price = trade.price

    def close(self) -> list[tuple[Interval, Bar]]:
        """End the finest window, and with it every longer one that ends there; finest first."""
        finest = self._finest or Bar(self._open_ms, self._price)
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

    def forming(self) -> list[tuple[Interval, Bar]]:
        """The open bars as they stand; one without a trade is not open yet."""
        finest = self._finest
        forming = [] if finest is None else [(self._intervals[0], finest)]
        for interval, longer in zip(self._intervals[1:], self._longer, strict=True):
            if longer is not None:
                bar = longer.copy(longer.open_ms)
                if finest is not None:
                    bar.fold(finest)
                forming.append((interval, bar))
            elif finest is not None:
                forming.append((interval, finest.copy(interval.open_time(finest.open_ms))))
        return forming
