"""Whether what a client is shown is live, or why and since when it is stale. Pure values, of the feed and its lanes.

`delivery/feed_state.py` decides it; everybody else reads it here.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

SeriesName = tuple[str, str]
"""Symbol and interval."""


class StaleReason(StrEnum):
    """Why data is stale; the values are those of the wire. `NONE` is the reason of live data."""

    NONE = ""
    DISCONNECTED = "redis"
    BACKFILLING = "repair"
    SILENT = "silent"
    MALFORMED = "malformed"
    PRICES = "prices"
    KLINES = "klines"
    SYMBOL = "symbol"
    STORE = "store"
    """In replays only: what is stored cannot be read."""


class Staleness(NamedTuple):
    """Why and since when something is stale. `since_ms` is market time, 0 while live or where it is not known."""

    reason: StaleReason = StaleReason.NONE
    since_ms: int = 0

    @property
    def live(self) -> bool:
        return not self.reason


class SymbolStates(NamedTuple):
    """The states of one symbol's ticker and klines."""

    ticker: Staleness
    klines: Staleness


def with_unread(
    states: Mapping[str, SymbolStates], unread: Mapping[str, Staleness], unpriced: Mapping[str, Staleness]
) -> Mapping[str, SymbolStates]:
    """The states of symbols, with those whose klines are still to be read from the store, or whose price is unknown."""
    if not (unread or unpriced):
        return states
    live = SymbolStates(Staleness(), Staleness())
    found = {**states, **{name: states.get(name, live)._replace(klines=state) for name, state in unread.items()}}
    return {**found, **{name: found.get(name, live)._replace(ticker=state) for name, state in unpriced.items()}}


class FeedState:
    """One state of the feed, given to sessions and compared by identity: each object is announced once."""

    __slots__ = ("closed", "prices", "series", "symbols")

    def __init__(
        self,
        reason: StaleReason = StaleReason.NONE,
        since_ms: int = 0,
        *,
        closed: Staleness | None = None,
        symbols: Mapping[str, SymbolStates] | None = None,
        series: Mapping[SeriesName, Staleness] | None = None,
    ) -> None:
        """`closed`: the state of closed klines, where that is another one. `symbols`: those that have stopped.

        `series`: those that lack klines which are being read.
        """
        self.symbols = symbols or {}
        self.series = series or {}
        self.prices = Staleness(reason, since_ms)
        """Of tickers and forming klines."""
        self.closed = self.prices if closed is None else closed

    @property
    def worst(self) -> Staleness:
        """The state of the feed as a whole: stale if any lane is."""
        return self.closed if self.prices.live else self.prices

    @property
    def reason(self) -> StaleReason:
        return self.worst.reason

    @property
    def since_ms(self) -> int:
        return self.worst.since_ms

    @property
    def live(self) -> bool:
        return self.worst.live

    @property
    def unread(self) -> bool:
        """Whether the source has, or may have, data that has not been read yet."""
        return bool({self.prices.reason, self.closed.reason} & {StaleReason.DISCONNECTED, StaleReason.BACKFILLING})

    def is_unread(self, symbol: str) -> bool:
        """Whether the source has, or may have, klines of the symbol that have not been read yet."""
        states = self.symbols.get(symbol)
        return self.unread or (states is not None and states.klines.reason is StaleReason.BACKFILLING)

    def lanes(self) -> Mapping[str, Staleness]:
        """The state of each lane, by its name in metrics and status."""
        return {"ticker": self.prices, "forming": self.prices, "closed": self.closed}

    def ticker(self, symbol: str) -> Staleness:
        """The state of a symbol's ticker."""
        if self.prices.live and symbol in self.symbols:
            return self.symbols[symbol].ticker
        return self.prices

    def klines(self, symbol: str, interval: str = "", *, forming: bool = True) -> Staleness:
        """The state of a symbol's klines (of one interval, if it is given), with or without the forming one."""
        state = self.prices if self.closed.live and forming else self.closed
        if state.live and symbol in self.symbols:
            ticker, state = self.symbols[symbol]
            if state.live and forming and ticker.reason is StaleReason.PRICES:
                state = ticker
        return self.series.get((symbol, interval), state) if state.live and self.series else state

    def may_differ(self, other: FeedState) -> frozenset[str] | None:
        """The symbols whose states are others than in `other`; `None`: any, because those of lanes are."""
        if (self.prices, self.closed) != (other.prices, other.closed):
            return None
        return _changed(self, other)


@lru_cache(maxsize=8)
def _changed(state: FeedState, other: FeedState) -> frozenset[str]:
    known, before = state.symbols, other.symbols
    of_symbols = {symbol for symbol in known.keys() | before.keys() if known.get(symbol) != before.get(symbol)}
    return frozenset(of_symbols | {symbol for (symbol, _), _ in state.series.items() ^ other.series.items()})
