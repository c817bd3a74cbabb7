"""What is held of one symbol, and what has changed of all symbols since the last flush. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.market.merge import Price
    from gateway.market.series import Series
    from gateway.model.ticker import Ticker


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
        """The ticker whose key was found to have expired; the next update replaces it."""
        self.series: dict[str, Series] = {}


@dataclass(slots=True)
class Changes:
    """What has changed since the last time, each at most once however often it changed."""

    tickers: set[SymbolState] = field(default_factory=set)
    series: set[Series] = field(default_factory=set)
    corrected: set[Series] = field(default_factory=set)
    gaps: set[Series] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.tickers or self.series or self.corrected or self.gaps)
