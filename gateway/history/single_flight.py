"""One read in flight per key: further requests for the key wait for its result."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

V = TypeVar("V")


class SingleFlight(Generic[V]):
    """Each read is a task of its own and not the first waiter's: a waiter that is cancelled (a client hangs up, a
    request times out) does not cancel the read for the others."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[V]] = {}
        self.coalesced = 0

    async def join(self, key: Hashable, read: Callable[[], Coroutine[None, None, V]]) -> V:
        """The result of the read in flight for `key`, which is started if there is none. Raises what it raises."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(read())
            task.add_done_callback(lambda done: self._finish(key, done))
        else:
            self.coalesced += 1
        # Unlike awaiting the task, waiting for it does not cancel it when the waiter is cancelled.
        await asyncio.wait((task,))
        return task.result()

    async def aclose(self) -> None:
        """Cancel the reads in flight, and with them those that wait."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self, key: Hashable, task: asyncio.Task[V]) -> None:
        del self._tasks[key]
        # Without waiters nobody retrieves the exception, which asyncio would log.
        if not task.cancelled():
            task.exception()
