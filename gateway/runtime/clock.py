"""The time of day that the market goes by: it never jumps, whatever is done to the system's clock.

What has no event time of its own is ordered by when it came. After a step back it would be older than what is known,
and nothing would move until the clock has caught up; after a step forward prices would open bars of the future.
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
"""Less than this is drift and its corrections: the clock that only counts follows those too."""

LOOK_S = 1.0


def counted_ns() -> int:
    """A clock that nobody sets. Where there is one, it goes on while the machine sleeps."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """Milliseconds since the epoch: the system's clock at the start, and what has passed since.

    A step of the system's clock is taken over only forward, and only once the source's own bars show that it is right
    (a virtual machine that stood still, say). One that is wrong, or back, is kept out for the life of the process.
    """

    def __init__(self, system_ns: Callable[[], int] | None = None, count_ns: Callable[[], int] = counted_ns) -> None:
        self._system_ns = system_ns or (lambda: time.time_ns())
        self._count_ns = count_ns
        self._start_ns = self._system_ns() - count_ns()
        self._ahead_ms = 0

    def __call__(self) -> int:
        return (self._start_ns + self._count_ns()) // 1_000_000

    @property
    def ahead_ms(self) -> int:
        """How far the system's clock is ahead of this one at the last look; 0 while they go together."""
        return self._ahead_ms

    def look(self) -> bool:
        """Compare with the system's clock; says whether it was set since the last look."""
        ahead_ms = (self._system_ns() - self._start_ns - self._count_ns()) // 1_000_000
        if abs(ahead_ms) < STEP_MS:
            ahead_ms = 0
        stepped = abs(ahead_ms - self._ahead_ms) >= STEP_MS
        self._ahead_ms = ahead_ms
        return stepped

    def witness(self, start_ms: int, end_ms: int) -> None:
        """The source speaks of a bar just now: the clock that is nearer to it is right."""
        if self._ahead_ms > 0:
            here_ms = self()
            if _distance(here_ms + self._ahead_ms, start_ms, end_ms) < _distance(here_ms, start_ms, end_ms):
                logger.warning("the source goes by the new time: taking over %+.1f s", self._ahead_ms / 1000)
                self._start_ns += self._ahead_ms * 1_000_000
                self._ahead_ms = 0

    async def run(self) -> None:
        """Look every second, and say so when somebody has set the system's clock."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self.look():
                logger.warning(
                    "the system's clock is %+.1f s off now; the market goes on by the old time", self._ahead_ms / 1000
                )


def _distance(at_ms: int, start_ms: int, end_ms: int) -> int:
    return max(start_ms - at_ms, 0, at_ms - end_ms)
