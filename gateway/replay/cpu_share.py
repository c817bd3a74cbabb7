"""The part of the core that all replays of a process may use together: they take turns, and pause in between.

A replay is work in advance for one client, so everybody else goes first. A turn is a step of a millisecond or two
without `await`. After it so much time passes that turns keep to their share; what they do not get, their market time
waits for.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

BURST_S = 0.02
"""Time of turns that may come at once after a pause."""

BUSY_PAUSE_S = 0.5
"""Before each turn while live clients need all there is."""


class CpuShare:
    """Whoever has work waits for a turn, in the order of asking."""

    def __init__(
        self,
        share: float,
        is_busy: Callable[[], bool] = lambda: False,
        clock_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`share`: of one core, above 0. `is_busy`: whether live clients need all there is: then turns are rare.
        `cpu_s`: CPU time of the thread that turns run in."""
        self._share = share
        self._is_busy = is_busy
        self._clock_s = clock_s
        self._cpu_s = cpu_s
        self._sleep = sleep
        self._queue = asyncio.Lock()
        self._next_s = 0.0
        self.spent_s = 0.0
        """CPU time of all turns so far."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn. The body must not `await`."""
        async with self._queue:
            await self._sleep(max(0.0, self._next_s - self._clock_s()))
            if self._is_busy():
                await self._sleep(BUSY_PAUSE_S)
            started_s = self._cpu_s()
            try:
                yield
            finally:
                used_s = self._cpu_s() - started_s
                self.spent_s += used_s
                self._next_s = max(self._next_s, self._clock_s() - BURST_S / self._share) + used_s / self._share
