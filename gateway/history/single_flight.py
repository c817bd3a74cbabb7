"""One read in flight per key: further requests for the key wait for its result."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

V = TypeVar("V")


class SingleFlight(Generic[V]):
    """Each read is a task of its own and not the first waiter's: a waiter that is cancelled (a client hangs up, a
    request times out) does not cancel the read for the others."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        # The newest read for each key, and when it began; and all reads.
        self._newest: dict[Hashable, tuple[asyncio.Task[V], float]] = {}
        self._tasks: set[asyncio.Task[V]] = set()
        self.coalesced = 0

    async def join(self, key: Hashable, read: Callable[[], Coroutine[None, None, V]], max_age_s: float = math.inf) -> V:
        """The result of the newest read in flight for `key`; of a new one where there is none, or it began more than
        `max_age_s` ago. Raises what it raises."""
        task, began_s = self._newest.get(key, (None, 0.0))
        now_s = self._clock_s()
        if task is None or now_s - began_s > max_age_s:
            task = asyncio.create_task(read())
            self._newest[key] = task, now_s
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._finish(key, done))
        else:
            self.coalesced += 1
        # Unlike awaiting the task, waiting for it does not cancel it when the waiter is cancelled.
        await asyncio.wait((task,))
        return task.result()

    async def aclose(self) -> None:
        """Cancel the reads in flight, and with them those that wait."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self, key: Hashable, task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        if self._newest[key][0] is task:
            del self._newest[key]
        # Without waiters nobody retrieves the exception, which asyncio would log.
        if not task.cancelled():
            task.exception()
