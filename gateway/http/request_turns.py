"""How much of the event loop HTTP requests and handshakes get at a time, shared fairly between addresses.

Without turns, all requests that arrive in one turn of the loop run in it, and the flush waits for the last of them.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING

from gateway.access.fair_queue import FairQueue

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE_S = 0.008
"""For so long requests run one after the other ..."""
REST_S = 0.004
"""... then everything else has the loop for so long, if requests are still waiting: they get two thirds at most."""

BATCH = 8
"""Requests woken at a time. Each looks at the clock: those that wake after the end of the slice wait again."""

READS_MAX = 8
"""Requests that read the history at a time. What they read arrives together and is decoded in one turn of the loop."""


class RequestTurns:
    """Requests run in slices of the event loop's time; who arrives while others wait queues behind them.

    A request has two parts: the server decodes it (`is_free`, `defer`), then the application answers it (`enter`).
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._queue: FairQueue[Callable[[], object]] = FairQueue()
        self._slice_end_s = self._next_s = 0.0
        self._timer: asyncio.Handle | None = None
        self._group: ContextVar[str] = ContextVar("group", default="")

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def group(self) -> str:
        """The group of the request that the current task answers."""
        return self._group.get()

    async def enter(self, group: str) -> None:
        """Wait for the turn of a request that begins. `group`: the client's address; groups take turns."""
        self._group.set(group)
        await self.wait()

    async def wait(self) -> None:
        """Go on in this turn, or wait for the next one if this one has lasted long enough.

        To be called where a request goes on after an `await`, or has worked for some ms.
        """
        first = False
        while not self.is_free():
            future = asyncio.get_running_loop().create_future()
            self._queue.push(self.group, partial(_wake, future), first=first)
            self._schedule()
            await future
            if self._clock_s() < self._slice_end_s:
                return
            first = True

    def is_free(self) -> bool:
        """Whether nobody waits and the slice has time left."""
        return not self._queue and self.is_open()

    def defer(self, group: str, work: Callable[[], object]) -> None:
        """Call `work` when it is its turn. It must not raise."""
        self._queue.push(group, work)
        self._schedule()

    def is_open(self) -> bool:
        """Whether a slice is open: who has been decoded in it may go on. Opens the next one when it is due."""
        now_s = self._clock_s()
        if now_s >= self._next_s:
            self._slice_end_s = now_s + SLICE_S
            self._next_s = self._slice_end_s + REST_S
        return now_s < self._slice_end_s

    def _schedule(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            if self.is_open():
                self._timer = loop.call_soon(self._release)
            else:
                self._timer = loop.call_later(self._next_s - self._clock_s(), self._release)

    def _release(self) -> None:
        """Wake the next requests. Runs again after them."""
        self._timer = None
        woken = 0
        while self._queue and woken < BATCH and self.is_open():
            self._queue.pop()()
            woken += 1
        if self._queue:
            self._schedule()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Slots:
    """At most so many holders at a time; those that wait take turns by group."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()

    async def acquire(self, group: str) -> None:
        """Wait for a slot; give it back with `release`."""
        if self._free:
            self._free -= 1
            return
        future = asyncio.get_running_loop().create_future()
        self._queue.push(group, future)
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():
                # It was given the slot in the same moment.
                self.release()
            raise

    def release(self) -> None:
        """Give the slot to the next one that waits, if there is one."""
        while self._queue:
            future = self._queue.pop()
            if not future.done():
                future.set_result(None)
                return
        self._free += 1
