"""A channel: what one can subscribe to, its number, its newest value, and when that changed."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.hub.dialect import Dialect
    from gateway.market.market import SymbolState
    from gateway.market.series import Series
    from gateway.model.kline import Kline


class Lane(IntEnum):
    """The order in which a client's budget is spent. Closed klines go before both."""

    KLINE = 0
    TICKER = 1


class TickerChannel:
    """`value` is taken from the market once per tick, so that every tier and dialect encodes the same state."""

    __slots__ = ("_full", "changed_tick", "n", "name", "state", "subscribers", "value")

    lane = Lane.TICKER

    def __init__(self, n: int, state: SymbolState) -> None:
        self.n = n
        self.name = f"ticker:{state.symbol}"
        self.state = state
        self.subscribers = 0
        self.changed_tick = 0
        self.refresh()

    def refresh(self) -> None:
        self.value = self.state.ticker
        # Whole fragments by dialect: all sessions that are behind at this value share them.
        self._full: dict[Dialect, bytes] = {}

    def full(self, dialect: Dialect) -> bytes:
        """The fragment of the whole value as of the last tick."""
        fragment = self._full.get(dialect)
        if fragment is None:
            fragment = self._full[dialect] = dialect.ticker(self.n, None, self.value) if self.value else b""
        return fragment


class KlineChannel:
    """`value` and `closed_end` (the end of the log of closed klines) are those of the last tick, like a ticker's."""

    __slots__ = ("_full", "changed_tick", "closed_end", "n", "name", "series", "subscribers", "value")

    lane = Lane.KLINE

    def __init__(self, n: int, series: Series) -> None:
        self.n = n
        self.name = f"kline:{series.symbol}:{series.interval.name}"
        self.series = series
        self.subscribers = 0
        self.changed_tick = 0
        self.refresh()

    def refresh(self) -> None:
        self.value = self.series.forming
        self.closed_end = self.series.closed.end
        self._full: dict[Dialect, bytes] = {}

    def full(self, dialect: Dialect) -> bytes:
        """The fragment of the whole forming bar as of the last tick."""
        fragment = self._full.get(dialect)
        if fragment is None:
            fragment = self._full[dialect] = dialect.kline(self.n, None, self.value) if self.value else b""
        return fragment

    def closed_since(self, place: int) -> list[Kline] | None:
        """The closed klines from `place` to the last tick; `None` where some have fallen off the log."""
        log = self.series.closed
        if place < log.start:
            return None
        return log.since(place)[: self.closed_end - place]


Channel = TickerChannel | KlineChannel
