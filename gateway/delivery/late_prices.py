"""Tells prices that were held up on their way from fresh ones, when prices come again after a break. Pure.

A line that was slow, or a server that was frozen, delivers first what waited in it. These prices are new to the gateway
and were true a while ago: shown as live, they would be older than the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.delivery.feed_state import FeedStateMachine

CURRENT_MS = 60_000
"""Of a source that lags further, which replays the past, say, the lag tells nothing."""

WAIT_S = 10.0
"""Prices that come with a new lag for so long are those of a source whose clock was set, and as fresh as they get."""


class LatePrices:
    """Compares the lag of prices behind the feed's time with the one that they had while they were live."""

    __slots__ = ("_feed_state", "_late_since_s", "_usual_ms")

    def __init__(self, feed_state: FeedStateMachine) -> None:
        """`feed_state`: says whether prices are live at present, and how old they may be."""
        self._feed_state = feed_state
        self._usual_ms: int | None = None
        self._late_since_s: float | None = None

    def held_up(self, lag_ms: int, now_s: float) -> bool:
        """Whether prices of this lag, which have come now, were held up for longer than prices may be old.

        While prices are live nothing is held up, and theirs is the usual lag.
        """
        live, limit_s = self._feed_state.current.prices.live, self._feed_state.times.stale_after_s
        if live:
            self._usual_ms = lag_ms if abs(lag_ms) <= CURRENT_MS else None
        if live or self._usual_ms is None or lag_ms - self._usual_ms <= limit_s * 1000:
            self._late_since_s = None
            return False
        if self._late_since_s is None:
            self._late_since_s = now_s
        return now_s - self._late_since_s < WAIT_S
