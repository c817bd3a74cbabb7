"""What a client of a replay can subscribe to: the klines of one series, or the ticker of one symbol. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.market.aggregate import combine
from gateway.market.day_tickers import ticker_of_day
from gateway.replay.rolling_day import RollingDay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.delivery.channel import View
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker


class ReplayKlines:
    """One series. Its forming kline is made of closed klines of `part`, or walks to where it closed.

    As on the live gateway the forming kline is provisional until the source has said something about it; a replay has
    the source's word only on the closed one. Klines of a derived series are exact as far as their parts are there.
    """

    __slots__ = (
        *("after_ms", "derived", "forming", "n", "name", "part", "span", "symbol", "view"),
        *("_complete", "_next_ms"),
    )

    def __init__(
        self,
        n: int,
        name: str,
        view: View,
        symbol: str,
        span: Interval,
        part: Interval | None,
        *,
        derived: bool,
        after_ms: int = -1,
    ) -> None:
        """`part`: of what it forms; `None`: there is nothing shorter. `derived`: the store does not have the interval.
        `after_ms`: open time of the newest closed kline that the client has."""
        self.n = n
        self.name = name
        self.view = view
        self.symbol = symbol
        self.span = span
        self.part = part
        self.derived = derived
        self.after_ms = after_ms
        self.forming: Kline | None = None
        self._complete = True
        """Whether no part of the forming kline is missing so far."""
        self._next_ms = 0
        """Open time of its next part."""

    @property
    def interval(self) -> str:
        return self.span.name

    def close(self, kline: Kline) -> bool:
        """A kline of the series closes; returns whether that is news to the client."""
        self.forming = None
        return kline.open_time_ms > self.after_ms

    def walk(self, state: Kline | None) -> Kline | None:
        """Take a state that a walk has come to; returns it where it is news to the client."""
        self.forming = state if state is not None and state.open_time_ms > self.after_ms else None
        return self.forming

    def add_parts(self, parts: Sequence[Kline]) -> Kline | None:
        """Closed parts of one kline, at least one, ascending; returns what it has come to.

        `None`: it does not form any more. After its last part it is for the store to say whether and how it closes.
        """
        open_ms = self.span.open_time(parts[0].open_time_ms)
        if open_ms <= self.after_ms or parts[-1].close_time_ms >= self.span.close_time(open_ms):
            return None
        before: list[Kline] = []
        if self.forming is not None and self.forming.open_time_ms == open_ms:
            before = [self.forming]
        else:
            self._complete, self._next_ms = True, open_ms
        for part in parts:
            self._complete = self._complete and part.open_time_ms == self._next_ms
            self._next_ms = part.close_time_ms + 1
        made = combine([*before, *parts], open_ms, self.span.close_time(open_ms))
        provisional = not (self.derived and self._complete)
        self.forming = made._replace(event_time_ms=parts[-1].close_time_ms, provisional=provisional)
        return self.forming


class ReplayTicker:
    """The ticker of one symbol, derived from its klines: the newest close, and the figures of the 24 h before."""

    __slots__ = ("_day", "n", "name", "part", "symbol", "value", "view")

    interval = ""

    def __init__(self, n: int, name: str, view: View, symbol: str, part: Interval) -> None:
        """`part`: of what it is made."""
        self.n = n
        self.name = name
        self.view = view
        self.symbol = symbol
        self.part = part
        self.value: Ticker | None = None
        self._day = RollingDay(part)

    def add(self, kline: Kline) -> Ticker:
        """The next closed kline; returns the ticker after it."""
        self.value = ticker = ticker_of_day(self.symbol, self._day.add(kline), kline)
        return ticker


ReplayChannel = ReplayKlines | ReplayTicker
