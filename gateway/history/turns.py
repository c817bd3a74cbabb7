"""Turns on the event loop for work on history: decoding, encoding and sending snapshots, one piece at a time.

A start of a hundred clients asks for minutes of such work. Without turns it runs as fast as the store answers, and a
client that follows tickers hears nothing until it is done.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SLICE_S = 0.004
"""Work after which everybody else on the loop is served: flushes, commands, the feed."""

IDLE_S = 0.001
"""The rest of the loop counts as idle where one round of it takes no longer than this."""


class Turns:
    """Whoever has work waits for a turn, in the order of asking, and does one piece of it without `await`.

    Who asks again after each piece shares the turns equally with the others. While the rest of the loop is busy, at
    most half of the loop's time goes to turns; while it is idle, all of it.
    """

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._clock_s = clock_s
        self._queue = asyncio.Lock()
        self._worked_s = 0.0
        self.waiting = 0
        """How many wait for a turn."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn. The body must not `await`."""
        self.waiting += 1
        try:
            await self._queue.acquire()
        finally:
            self.waiting -= 1
        try:
            if self._worked_s >= SLICE_S:
                await self._rest()
            started_s = self._clock_s()
            try:
                yield
            finally:
                self._worked_s += self._clock_s() - started_s
        finally:
            self._queue.release()

    async def _rest(self) -> None:
        """Let the rest of the loop run until it has nothing to do, but for no longer than the turns before took."""
        worked_s, self._worked_s = self._worked_s, 0.0
        started_s = now_s = self._clock_s()
        while True:
            round_s = now_s
            await asyncio.sleep(0)
            now_s = self._clock_s()
            if now_s - round_s <= IDLE_S or now_s - started_s >= worked_s:
                return
