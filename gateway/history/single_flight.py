"""One read in flight per key: whoever asks meanwhile waits for the same answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

V = TypeVar("V")


class SingleFlight(Generic[V]):
    """The read is a task of its own, not the first waiter's: waiters come and go (a client hangs up, a request times
    out) without taking the answer from the others."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[V]] = {}
        self.coalesced = 0

    async def join(self, key: Hashable, read: Callable[[], Coroutine[None, None, V]]) -> V:
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(read())
            task.add_done_callback(lambda done: self._landed(key, done))
        else:
            self.coalesced += 1
        # Unlike awaiting the task, waiting for it does not cancel it when the waiter is cancelled.
        await asyncio.wait((task,))
        return task.result()

    async def aclose(self) -> None:
        """End what is under way; those who wait for it are cancelled."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: Hashable, task: asyncio.Task[V]) -> None:
        del self._tasks[key]
        # When every waiter has gone, nobody would ever look at a failure, and asyncio would log that.
        if not task.cancelled():
            task.exception()
