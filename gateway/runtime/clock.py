"""Market time: a clock that never jumps, whatever is done to the system's clock.

Messages without an event time are ordered by when they arrived. After a step back of the clock they would be older than
what is known, and nothing would move until the clock has caught up; after a step forward prices would open klines of
the future.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

STEP_MS = 1000
"""Smaller differences are drift and its corrections, which the clock that only counts follows too."""

CHECK_S = 1.0


def uptime_ns() -> int:
    """A clock that nobody sets. Where the system has one, it goes on while the machine sleeps."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """Milliseconds since the epoch: the system's clock at the start plus the time that has passed since.

    The one clock object of a process. It adopts a step of the system's clock only forward, and only once the source's
    own klines show that the new time is right (a virtual machine that was suspended, say). It ignores steps back, and
    steps forward that no kline confirms, for the life of the process.
    """

    def __init__(self, system_ns: Callable[[], int] | None = None, uptime_ns: Callable[[], int] = uptime_ns) -> None:
        self._system_ns = system_ns or (lambda: time.time_ns())
        self._uptime_ns = uptime_ns
        self._start_ns = self._system_ns() - uptime_ns()
        self._ahead_ms = 0

    def __call__(self) -> int:
        return (self._start_ns + self._uptime_ns()) // 1_000_000

    @property
    def ahead_ms(self) -> int:
        """How far the system's clock was ahead of this one at the last check; 0 while both agree."""
        return self._ahead_ms

    def check(self) -> bool:
        """Compare with the system's clock; returns whether it was set since the last check."""
        ahead_ms = (self._system_ns() - self._start_ns - self._uptime_ns()) // 1_000_000
        if abs(ahead_ms) < STEP_MS:
            ahead_ms = 0
        stepped = abs(ahead_ms - self._ahead_ms) >= STEP_MS
        self._ahead_ms = ahead_ms
        return stepped

    def observe_kline(self, open_time_ms: int, close_time_ms: int, feed_ahead_ms: int = 0) -> int:
        """Adopt the system's time if it is ahead and nearer to a kline that the source has just sent; returns by how
        much this clock has been set forward, nearly always 0.

        `feed_ahead_ms`: how far the feed is known to be ahead of this clock. Time by that must not be nearer: of two
        wrong times, the one that is a little less wrong would be adopted.
        """
        if self._ahead_ms <= 0:
            return 0
        now_ms = self()
        known, by_feed, system = (
            _distance(now_ms + ahead_ms, open_time_ms, close_time_ms) for ahead_ms in (0, feed_ahead_ms, self._ahead_ms)
        )
        if system >= known or system > by_feed:
            return 0
        adopted_ms, self._ahead_ms = self._ahead_ms, 0
        logger.warning("the source goes by the system's new time: adopting %+.1f s", adopted_ms / 1000)
        self._start_ns += adopted_ms * 1_000_000
        return adopted_ms

    async def run(self) -> None:
        """Check every second, and log when somebody has set the system's clock."""
        while True:
            await asyncio.sleep(CHECK_S)
            if self.check():
                logger.warning("the system's clock is %+.1f s off; the gateway keeps its time", self._ahead_ms / 1000)


def _distance(at_ms: int, start_ms: int, end_ms: int) -> int:
    return max(start_ms - at_ms, 0, at_ms - end_ms)
