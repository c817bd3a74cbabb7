"""What is held of one symbol, and what has changed of all symbols since the last flush. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.market.merge import Price
    from gateway.market.series import Series
    from gateway.model.ticker import Ticker


JUMP_FACTOR = 3


class Jump(NamedTuple):
    """A price that is `JUMP_FACTOR` times the one before it or more, or such a part of it: it may be a bad tick."""

    symbol: str
    before: str
    after: str


def jumps_of(before: Ticker, after: Ticker) -> tuple[Jump, ...]:
    """The jump between two tickers of a symbol, if it is one."""
    old, new = before.last, after.last
    # Only texts that differ so can be of another magnitude: nearly all others are done with here.
    if old[:3] == new[:3] and len(old) == len(new) and new[:3] != "0.0":
        return ()
    low, high = sorted((Decimal(old), Decimal(new)))
    return (Jump(after.symbol, before.last, after.last),) if high >= low * JUMP_FACTOR else ()


class SymbolState:
    """One symbol: its ticker, its series by interval, and prices that are not applied to the series yet.

    All waiting prices lie within one kline of the shortest interval, and so within one kline of every other.
    """

    __slots__ = (
        "has_data",
        "lapsed",
        "prices",
        "prices_since_ms",
        "series",
        "symbol",
        "ticker",
        "watchers",
        "window_end_ms",
        "window_ms",
    )

    def __init__(self, symbol: str, watchers: int) -> None:
        self.symbol = symbol
        self.has_data = False
        self.watchers = watchers
        """How many readers need its klines up to date at every flush."""
        self.prices: list[Price] = []
        self.prices_since_ms = 0
        self.window_ms = self.window_end_ms = 0
        self.ticker: Ticker | None = None
        self.lapsed: Ticker | None = None
        """The ticker whose key was found to have expired, or to be of no use; the next update replaces it."""
        self.series: dict[str, Series] = {}

    @property
    def has_ticker(self) -> bool:
        """Whether the source has sent a ticker, or stored one."""
        return self.ticker is not None and not self.ticker.derived

    def follow(self, *, all_read: bool) -> None:
        """Note that the store has been read, if it has: what closes from now on is no kline of the past."""
        for series in self.series.values() if all_read else ():
            series.follow()

    def drop_after(self, limit_ms: int) -> list[Series]:
        """Drop what is dated after `limit_ms`; returns the series that have changed.

        The ticker's price stays until the next one comes, which counts as newer, whatever its time.
        """
        self.prices = [at for at in self.prices if at.event_time_ms <= limit_ms]
        if self.ticker is not None and self.ticker.event_time_ms > limit_ms:
            self.ticker = self.ticker._replace(event_time_ms=0)
        return [series for series in self.series.values() if series.drop_after(limit_ms)]

    def drop_prices(self) -> list[Series]:
        """Drop prices, and what is made of them alone; returns the series that have changed."""
        self.prices = []
        return [series for series in self.series.values() if series.drop_prices()]


@dataclass(slots=True)
class Changes:
    """What has changed since the last time, each at most once however often it changed."""

    tickers: set[SymbolState] = field(default_factory=set)
    series: set[Series] = field(default_factory=set)
    corrected: set[Series] = field(default_factory=set)
    gaps: set[Series] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.tickers or self.series or self.corrected or self.gaps)
