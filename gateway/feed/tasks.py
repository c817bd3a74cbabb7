"""Tasks that live and end together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

RECANCEL_S = 0.2


async def together(*works: Coroutine[None, None, None]) -> None:
    """Run until one ends, or fails; end the others with it."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)


async def end(tasks: Collection[asyncio.Task[None]], again_s: float = RECANCEL_S) -> None:
    """Cancel until they are done. Once is not always enough: redis-py waits with `asyncio.wait_for`, which in Python
    3.11 can swallow a cancellation that comes together with the answer. Being cancelled itself, it ends them first."""
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
