"""How old the news of each symbol is. Looked up at most once a second, however many ask. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.market.market import Market

REUSE_MS = 1000


class Age(NamedTuple):
    """`event_ms`: when the source last saw the symbol's price move; 0 where there is no price, only klines."""

    event_ms: int
    symbol: str
    lapsed: bool
    """Its key in Redis has expired since."""


class Freshness:
    def __init__(self, market: Market, quiet_after_ms: int) -> None:
        self.quiet_after_ms = quiet_after_ms
        self._market = market
        self._at_ms = -REUSE_MS
        self._ages: list[Age] = []

    def ages(self, now_ms: int) -> list[Age]:
        """All known symbols, those without news for the longest first."""
        # A clock that was set back must not keep an old answer alive.
        if not 0 <= now_ms - self._at_ms < REUSE_MS:
            ticker, lapsed = self._market.ticker, self._market.lapsed
            self._ages = sorted(
                Age(found.event_time_ms if (found := ticker(symbol)) else 0, symbol, lapsed(symbol))
                for symbol in self._market.symbols()
            )
            self._at_ms = now_ms
        return self._ages

    def is_quiet(self, age: Age, now_ms: int) -> bool:
        return age.lapsed or now_ms - age.event_ms > self.quiet_after_ms

    def quiet(self, now_ms: int) -> int:
        """How many symbols have had no news for as long as a feed may be silent."""
        return sum(age.lapsed or now_ms - age.event_ms > self.quiet_after_ms for age in self.ages(now_ms))
