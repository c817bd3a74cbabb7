"""Maps real time to the market's time of a replay. Pure: the real time is passed in, on any clock that only rises.

Between two moments the market's time advances by no more than their distance times the speed. It never catches up:
where a replay had to wait, for its client or for what is stored, market time has waited too.
"""

from __future__ import annotations


class MarketClock:
    """Stands still until `start`."""

    def __init__(self, speed: float) -> None:
        """`speed`: how many times as fast as real time."""
        self._per_s = speed * 1000
        self._market_ms = 0
        self._real_s = 0.0
        self.running = False

    def start(self, market_ms: int, now_s: float) -> None:
        """Market time is `market_ms` at the real time `now_s`, and advances from there."""
        self._market_ms, self._real_s, self.running = market_ms, now_s, True

    def market_ms(self, now_s: float) -> int:
        """The market's time, in ms since the epoch, at a real time."""
        return self._market_ms + int((now_s - self._real_s) * self._per_s) if self.running else self._market_ms

    def real_s(self, market_ms: int) -> float:
        """When the market's time will be `market_ms`, if nothing has to wait until then."""
        return self._real_s + (market_ms - self._market_ms) / self._per_s

    def wait(self, market_ms: int, now_s: float) -> None:
        """The replay has come to `market_ms` only: market time goes on from there, if it is ahead of it."""
        if self.market_ms(now_s) > market_ms:
            self.start(market_ms, now_s)
