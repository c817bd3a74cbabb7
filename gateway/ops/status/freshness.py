"""The age of the newest update of each symbol. Computed at most once a second, however many requests ask. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.market.market import Market

REUSE_MS = 1000


class Age(NamedTuple):
    """`event_ms`: event time of the newest price, in ms since the epoch; 0 if there are klines but no price."""

    event_ms: int
    symbol: str
    lapsed: bool
    """Whether the ticker's key in Redis has expired."""


class Freshness:
    """Ages of all symbols of a market."""

    def __init__(self, market: Market, stale_after_ms: int) -> None:
        self.stale_after_ms = stale_after_ms
        self._market = market
        self._computed_ms = -REUSE_MS
        self._ages: list[Age] = []

    def ages(self, now_ms: int) -> list[Age]:
        """The ages of all symbols, the oldest first."""
        # A clock that was set back must not keep an old list alive.
        if not 0 <= now_ms - self._computed_ms < REUSE_MS:
            ticker, lapsed = self._market.ticker, self._market.lapsed
            self._ages = sorted(
                Age(found.event_time_ms if (found := ticker(symbol)) else 0, symbol, lapsed(symbol))
                for symbol in self._market.symbols()
            )
            self._computed_ms = now_ms
        return self._ages

    def is_stale(self, age: Age, now_ms: int) -> bool:
        """Whether a symbol has had no update for `stale_after_ms`, or its ticker has expired."""
        return age.lapsed or now_ms - age.event_ms > self.stale_after_ms

    def count_stale(self, now_ms: int) -> int:
        """How many symbols are stale."""
        return sum(self.is_stale(age, now_ms) for age in self.ages(now_ms))
