"""What is held of one symbol, and what has moved of all of them since the last tick. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.market.merge import Price
    from gateway.market.series import Series
    from gateway.model.ticker import Ticker


class SymbolState:
    """One symbol: its ticker, its series by interval, and prices that its bars have yet to hear of.

    All waiting prices lie within one bar of the shortest interval, and so within one bar of every other.
    """

    __slots__ = (
        "kept_ms",
        "known",
        "lapsed",
        "prices",
        "series",
        "symbol",
        "ticker",
        "watchers",
        "window_end_ms",
        "window_ms",
    )

    def __init__(self, symbol: str, watchers: int) -> None:
        self.symbol = symbol
        self.known = False
        self.watchers = watchers
        """How many want its bars up to date at every tick."""
        self.prices: list[Price] = []
        self.kept_ms = 0
        self.window_ms = self.window_end_ms = 0
        self.ticker: Ticker | None = None
        self.lapsed: Ticker | None = None
        """The ticker whose key was found to have expired; any news replaces the ticker, and that is over."""
        self.series: dict[str, Series] = {}


@dataclass(slots=True)
class Changes:
    """What has moved since the last time, each at most once however often it moved."""

    tickers: set[SymbolState] = field(default_factory=set)
    series: set[Series] = field(default_factory=set)
    corrected: set[Series] = field(default_factory=set)
    gaps: set[Series] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.tickers or self.series or self.corrected or self.gaps)
