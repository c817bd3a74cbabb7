"""Tasks that wait for Redis: run together, end for certain, wait between attempts. Knows no commands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.redis.backoff import Backoff

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence

RECANCEL_S = 0.2


async def run_together(*works: Coroutine[None, None, None]) -> None:
    """Run until one ends or fails, then cancel the others; raises what the first one raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await cancel_and_wait(tasks)


async def cancel_and_wait(tasks: Collection[asyncio.Task[None]], again_s: float = RECANCEL_S) -> None:
    """Cancel tasks every `again_s` seconds until all are done.

    Once is not always enough: redis-py waits with `asyncio.wait_for`, which in Python 3.11 can swallow a cancellation
    that arrives together with the answer. When the caller itself is cancelled, this ends the tasks first.
    """
    cancelled = False
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=again_s)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def raise_if_cancelled() -> None:
    """Raise the cancellation that `asyncio.wait_for` may have swallowed (see `cancel_and_wait`)."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Retries:
    """Reports each failure of a repeated attempt and waits by the configured schedule."""

    def __init__(
        self,
        retry_s: Sequence[float],
        on_failure: Callable[[str], None],
        logger: logging.Logger,
        what: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`on_failure` gets the reason before each wait; `what` names the failure in the log."""
        self._backoff = Backoff(retry_s)
        self._on_failure = on_failure
        self._logger = logger
        self._what = what
        self._sleep = sleep

    def succeeded(self) -> None:
        """The next failure takes the first wait of the schedule again."""
        self._backoff.reset()

    async def failed(self, error: Exception) -> None:
        """Report the failure and wait until the next attempt is due."""
        reason = reason_of(error)
        wait_s = self._backoff.next_wait_s()
        self._on_failure(reason)
        self._logger.warning("%s: %s; next attempt in %g s", self._what, reason, wait_s)
        await self._sleep(wait_s)


def reason_of(error: Exception) -> str:
    """The error's text, or its class where it has none."""
    return str(error) or type(error).__name__
