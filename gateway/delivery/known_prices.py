"""Up to when the prices of all symbols are known, and of which symbols they are not. Pure; times are arguments.

The feed goes on after a break as if nothing had been missed, so one price that comes again says nothing about those of
other symbols. Only two things do: the store, symbol by symbol as far as it can be used, or a feed that has been live
for so long that the price of each symbol has had time to arrive.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.delivery.staleness import Staleness, StaleReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.delivery.feed_times import FeedTimes

PRICES_SPREAD_S = 1.0
"""A source that is back sends the price of its last symbol at most this long after that of its first."""

FUTURE_MS = 1000
"""How far the source's clock may be ahead of ours."""


class KnownPrices:
    """Dates the prices after a break, in `times`. Times are seconds on the monotonic clock; 0: never."""

    __slots__ = ("_known_s", "_live_since_s", "_times", "unknown")

    def __init__(self, times: FeedTimes) -> None:
        self._times = times
        self._known_s = 0.0
        self._live_since_s = math.inf
        self.unknown: Mapping[str, Staleness] = {}
        """The symbols whose price may have changed without our knowledge, and since when."""

    @property
    def spread_s(self) -> float:
        """How long the prices of all symbols take to arrive."""
        return min(PRICES_SPREAD_S, self._times.stale_after_s / 2)

    def time_passed(self, now_s: float, *, live: bool) -> None:
        """Prices are live now, or they are not."""
        self._live_since_s = min(self._live_since_s, now_s) if live else math.inf
        if now_s - self._live_since_s >= self.spread_s:
            self._known_s = self._times.last_price_s

    def store_read(
        self, now_s: float, now_ms: int, newest_ms: int, unpriced: frozenset[str], stale_since_ms: int
    ) -> None:
        """The store has been read after a break.

        `newest_ms`: time of its newest price, 0: unknown. Of `unpriced` symbols it has no usable price, and the feed
        has sent none since the connection was made. `stale_since_ms`: since when prices are not live.
        """
        times, age_ms = self._times, now_ms - newest_ms
        # A price of the future only shows that this machine's clock is wrong.
        stored_s = now_s - max(0, age_ms) / 1000 if newest_ms and age_ms > -FUTURE_MS else 0.0
        unknown = {symbol: state for symbol, state in self.unknown.items() if symbol in unpriced}
        if stored_s and len(unknown) < len(self.unknown):
            # What the store confirms is known as of the time of the store.
            self._known_s = min(self._known_s, stored_s)
        if now_s - self._known_s > times.stale_after_s:
            # All that had been known before the break is too old. The first read follows no break.
            if self._known_s:
                since = Staleness(StaleReason.PRICES, stale_since_ms)
                unknown = dict.fromkeys(unpriced, since) | unknown
            self._known_s = max(self._known_s, stored_s)
        self.unknown = unknown
        # A new connection makes nothing fresh, and the store only what it has. Where no time is known, data counts as
        # fresh.
        dated_s = self._known_s if self._known_s and unpriced - unknown.keys() else max(self._known_s, stored_s)
        times.last_price_s = dated_s or times.last_price_s
        if stored_s:
            times.last_usable_s = max(times.last_usable_s, stored_s) if times.last_usable_s else stored_s
        elif not times.last_usable_s:
            times.last_usable_s = now_s

    def drop_known(self, is_unpriced: Callable[[str], bool]) -> bool:
        """Take the symbols whose price has come off the unknown ones; returns whether there were any."""
        if not self.unknown:
            return False
        before = len(self.unknown)
        self.unknown = {symbol: state for symbol, state in self.unknown.items() if is_unpriced(symbol)}
        return len(self.unknown) < before
