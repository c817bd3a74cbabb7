"""Tickers of symbols of which the source sends none, derived from their klines. Pure; exact decimals, no float.

The last price is the close of the newest kline. The 24 h figures are those of all klines within the 24 h that end with
it: whole hours, and shorter klines where the day begins and where it ends. What is in memory ends the day; the rest is
read from the store (`reads`, `take`): the hours once, and each hour the short klines of the one that the day begins in.
Where the store has no short klines of so long ago, the day begins with the next one that it has.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, NamedTuple

from gateway.market.aggregate import combine
from gateway.market.building import cover
from gateway.model.interval import DAY_MS, HOUR_MS, MINUTE_MS, MONTH_MAX_MS
from gateway.model.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.market.state import SymbolState
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline

_PERCENT_STEP = Decimal("0.001")

# Two numbers of as many digits as the feed takes, and their quotient.
_EXACT = Context(prec=120, rounding=ROUND_HALF_EVEN)

AHEAD_MS = 10 * MINUTE_MS
"""How long before the day begins in another hour the short klines of that are read."""


def difference(last: str, first: str) -> str:
    """The difference of the last price and the first one."""
    return format(_EXACT.subtract(Decimal(last), Decimal(first)), "f")


def percentage(last: str, first: str) -> str:
    """The same in percent of the first price, with three decimals; 0 if that price is 0."""
    base = Decimal(first)
    moved = _EXACT.multiply(_EXACT.subtract(Decimal(last), base), Decimal(100))
    value = _EXACT.divide(moved, base) if base else Decimal(0)
    return format(value.quantize(_PERCENT_STEP, context=_EXACT), "f")


class DayRead(NamedTuple):
    """Closed klines that are wanted from the store: the first `limit` from a time, or without it the newest."""

    symbol: str
    interval: str
    limit: int
    start_ms: int | None = None


class _Day:
    """What is held of one symbol."""

    __slots__ = ("changed", "end_ms", "fine", "first_ms", "front", "front_ms", "known", "read", "total")

    def __init__(self) -> None:
        self.read = False
        """Whether the hours have been read."""
        self.known: list[Kline] = []
        """Closed klines of the day, and the short ones that it is about to begin with."""
        self.changed = True
        """Whether klines have closed, or were read, since those of the day were combined to `total`."""
        self.total: Kline | None = None
        self.end_ms = 0
        """Where that day ends."""
        self.first_ms: float = math.inf
        """Open time of the first hour that is stored."""
        self.front_ms = 0
        """Up to this time the short klines at the beginning of the day have been read, as far as there are any."""
        self.fine = 0
        """Which of the short intervals is read for it next: the one that reached back so far the last time."""
        self.front: Sequence[Kline] = []
        """Of those that have been read for it, the ones that reach back furthest."""


class DayTickers:
    """Derives the tickers of the symbols that are marked, until the source sends its own."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        """`intervals`: those that are served."""
        by_length = sorted(intervals, key=lambda span: span.length_ms or MONTH_MAX_MS)
        # Longer klines would hide those that the day begins and ends with.
        spans = [span for span in by_length if 0 < span.length_ms <= HOUR_MS] or by_length[:1]
        self._coarse = spans[-1]
        self._fine = [span for span in spans if self._coarse.is_made_of(span)]
        self._names = [span.name for span in spans]
        self._hours = -(-DAY_MS // (self._coarse.length_ms or MONTH_MAX_MS))
        self._days: dict[SymbolState, _Day] = {}
        self._due: dict[SymbolState, None] = {}

    def mark(self, state: SymbolState, *, closed: bool) -> None:
        """Klines of a symbol without a ticker of the source have changed. `closed`: not only a forming one."""
        self._due[state] = None
        if closed and (day := self._days.get(state)):
            day.changed = True

    def update(self) -> Iterator[tuple[SymbolState, Ticker]]:
        """The tickers that have changed since the last call, of the symbols whose hours have been read."""
        due, self._due = self._due, {}
        for state in due:
            if state.has_ticker:
                self._days.pop(state, None)
                continue
            day = self._days.get(state)
            if day is None:
                day = self._days[state] = _Day()
            if day.read and (ticker := self._derive(state, day)) is not None and ticker != state.ticker:
                yield state, ticker

    def reads(self) -> list[tuple[SymbolState, DayRead]]:
        """What is to be read from the store now. Answer each with `take`."""
        reads = ((state, self._wanted(state, day)) for state, day in self._days.items() if not state.has_ticker)
        return [(state, read) for state, read in reads if read is not None]

    def take(self, state: SymbolState, read: DayRead, klines: Sequence[Kline]) -> None:
        """What the store has of a read, ascending."""
        day = self._days.get(state)
        if day is None:
            return
        if read.start_ms is None:
            day.read = True
            day.first_ms = klines[0].open_time_ms if klines else math.inf
        else:
            # The next longer interval may reach back further, where this one does not reach back to the day's begin.
            if klines and (not day.front or klines[0].open_time_ms < day.front[0].open_time_ms):
                day.front = list(klines)
            day.fine += 1
            begin_ms = day.front[0].open_time_ms if day.front else math.inf
            if begin_ms > read.start_ms and day.fine < len(self._fine):
                return
            # Where not even hours reach back so far, the symbol is younger than a day, and began with these.
            klines = day.front if begin_ms <= max(read.start_ms, day.first_ms - 1) else []
            day.front_ms = self._coarse.next_open(klines[0].open_time_ms if klines else read.start_ms)
            day.fine, day.front = 0 if begin_ms > read.start_ms else day.fine - 1, []
        day.known += klines
        self.mark(state, closed=True)

    def _wanted(self, state: SymbolState, day: _Day) -> DayRead | None:
        if not day.read:
            return DayRead(state.symbol, self._coarse.name, self._hours + 1)
        begin_ms = self._closed_end(state) - DAY_MS
        if not self._fine or begin_ms < day.front_ms - AHEAD_MS:
            return None
        fine = self._fine[day.fine]
        start_ms = max(day.front_ms, self._coarse.open_time(begin_ms))
        return DayRead(state.symbol, fine.name, self._coarse.parts_max(fine), start_ms)

    def _derive(self, state: SymbolState, day: _Day) -> Ticker | None:
        end_ms = closed_end_ms = self._closed_end(state)
        forming = next(
            (one for name in self._names if (one := state.series[name].forming) and not one.provisional), None
        )
        if forming is not None and forming.open_time_ms >= closed_end_ms:
            end_ms = forming.close_time_ms + 1
        else:
            forming = None
        if day.changed or end_ms != day.end_ms:
            self._combine(state, day, end_ms)
        parts = [kline for kline in (day.total, forming) if kline is not None]
        return _ticker_of(state.symbol, parts) if parts else None

    def _combine(self, state: SymbolState, day: _Day, end_ms: int) -> None:
        begin_ms = end_ms - DAY_MS
        front_ms = begin_ms + 2 * self._coarse.length_ms
        parts = cover([*(state.series[name].closed for name in self._names), day.known], begin_ms, end_ms)
        # Hours stand for the short klines within them, but not before the day has begun in these.
        day.known = [kline for kline in day.known if begin_ms <= kline.open_time_ms < front_ms]
        day.known += [part for part in parts if part.open_time_ms >= front_ms]
        day.total = combine(parts, parts[0].open_time_ms, parts[-1].close_time_ms) if parts else None
        day.changed, day.end_ms = False, end_ms

    def _closed_end(self, state: SymbolState) -> int:
        """Where the newest closed kline ends; 0 without any."""
        lasts = [state.series[name].closed.last for name in self._names]
        return max((last.close_time_ms + 1 for last in lasts if last is not None), default=0)


def _ticker_of(symbol: str, parts: Sequence[Kline]) -> Ticker:
    newest = parts[-1]
    return ticker_of_day(symbol, combine(parts, parts[0].open_time_ms, newest.close_time_ms), newest)


def ticker_of_day(symbol: str, day: Kline, newest: Kline) -> Ticker:
    """The ticker at the end of a day. `day`: its klines combined; `newest`: the last one of them."""
    return Ticker(
        symbol,
        newest.close,
        day.open,
        day.high,
        day.low,
        day.volume,
        day.quote_volume,
        difference(newest.close, day.open),
        percentage(newest.close, day.open),
        day.trades,
        open_time_ms=day.open_time_ms,
        close_time_ms=newest.close_time_ms,
        first_trade_id=day.first_trade_id,
        last_trade_id=day.last_trade_id,
        # A closed kline from the store has no event time; its close time is the nearest.
        event_time_ms=newest.event_time_ms or newest.close_time_ms,
        derived=True,
    )
