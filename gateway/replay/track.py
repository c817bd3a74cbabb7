"""The closed klines of one series from the market's time on, as far as they have been read. Pure.

Invariant: every stored kline that opens before `unknown_ms` and has not closed by the market's time is in `klines`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.replay.walk import walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.interval import Interval
    from gateway.model.kline import Kline
    from gateway.replay.channels import ReplayKlines, ReplayTicker


class Page(NamedTuple):
    """Stored klines of a series from an open time on, ascending."""

    klines: Sequence[Kline]
    unknown_ms: int
    """Open time up to which they are all there are: a kline that has not been read opens then or later."""
    is_last: bool
    """Whether the store has no more yet."""


class Track:
    """One series, and the channels that are made of it."""

    __slots__ = (
        *("at_end", "closing", "forming", "interval", "klines", "symbol", "tickers", "unknown_ms", "walking"),
        *("_states", "_walked"),
    )

    def __init__(self, symbol: str, interval: Interval, at_ms: int) -> None:
        """`at_ms`: the market's time."""
        self.symbol = symbol
        self.interval = interval
        self.klines: deque[Kline] = deque()
        self.unknown_ms = interval.open_time(at_ms)
        self.at_end = False
        """Whether the store had no more when it was last read."""
        self.closing: list[ReplayKlines] = []
        """Channels of this series."""
        self.walking: list[ReplayKlines] = []
        """Those of them that have nothing shorter to form of."""
        self.forming: list[ReplayKlines] = []
        """Channels of longer intervals, whose forming kline is made of this series."""
        self.tickers: list[ReplayTicker] = []
        self._states: tuple[Kline, ...] = ()
        """The states that the first kline walks through."""
        self._walked = 0

    def add(self, page: Page) -> None:
        """Add what was read from `unknown_ms` on."""
        self.unknown_ms, self.at_end = page.unknown_ms, page.is_last
        if not self.klines and page.klines:
            self._begin(page.klines[0])
        self.klines.extend(page.klines)

    @property
    def is_used(self) -> bool:
        """Whether any channel is made of it."""
        return bool(self.closing or self.forming or self.tickers)

    @property
    def horizon_ms(self) -> int:
        """Up to this time all that happens is known."""
        # The first kline that is not known opens then at the earliest. Until it has closed there are no states of it.
        walks = self.walking and not self.at_end
        return (self.unknown_ms if walks else self.interval.next_open(self.unknown_ms)) - 1

    @property
    def closes_ms(self) -> int | None:
        """When the next kline closes; `None`: none is known."""
        return self.klines[0].close_time_ms + 1 if self.klines else None

    @property
    def next_ms(self) -> int | None:
        """When something happens next; `None`: nothing is known."""
        if self.walking and self._walked < len(self._states):
            return self._states[self._walked].event_time_ms
        return self.closes_ms

    def close(self) -> Kline:
        """Take the next kline: it closes now."""
        kline = self.klines.popleft()
        if self.klines:
            self._begin(self.klines[0])
        return kline

    def walk(self, now_ms: int) -> Kline | None:
        """The state of the first kline at the market's time, which never falls; `None`: it does not open yet."""
        if not self.klines:
            return None
        while self._walked < len(self._states) and self._states[self._walked].event_time_ms <= now_ms:
            self._walked += 1
        return self._states[self._walked - 1] if self._walked else None

    def _begin(self, kline: Kline) -> None:
        self._states, self._walked = walk(kline), 0
