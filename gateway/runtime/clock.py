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

    The one clock object of a process. It adopts a step of the system's clock only forward, and only once most of the
    feed says that the new time is right (a virtual machine that was suspended, say). It ignores steps back, and steps
    forward that the feed does not confirm, for the life of the process.
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

    def adopt(self) -> int:
        """Adopt the system's time, which the feed has confirmed; returns by how much this clock is later now: 0 where
        the system's is not ahead."""
        adopted_ms = max(0, self._ahead_ms)
        if adopted_ms:
            logger.warning("the feed goes by the system's new time: adopting %+.1f s", adopted_ms / 1000)
            self._start_ns += adopted_ms * 1_000_000
            self._ahead_ms = 0
        return adopted_ms

    async def run(self) -> None:
        """Check every second, and log when somebody has set the system's clock."""
        while True:
            await asyncio.sleep(CHECK_S)
            if self.check():
                logger.warning("the system's clock is %+.1f s off; the gateway keeps its time", self._ahead_ms / 1000)
