"""Tasks that end together, however often they have to be told."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway.redis.tasks import cancel_and_wait, run_together


class Deaf:
    """Work that swallows a number of cancellations."""

    def __init__(self, swallows: int) -> None:
        self.running = False
        self._swallows = swallows

    async def run(self) -> None:
        self.running = True
        try:
            for _ in range(self._swallows):
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            await asyncio.Event().wait()
        finally:
            self.running = False


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_failure_ends_the_others_and_is_passed_on() -> None:
    async def fail() -> None:
        await turns()
        raise ValueError("broken")

    other = Deaf(0)
    with pytest.raises(ValueError, match="broken"):
        await run_together(other.run(), fail())
    assert not other.running


@pytest.mark.parametrize("swallows", [0, 1, 3])
async def test_a_cancellation_ends_all(swallows: int) -> None:
    works = [Deaf(0), Deaf(swallows)]
    task = asyncio.create_task(run_together(*(work.run() for work in works)))
    await turns()
    await cancel_and_wait([task], again_s=0)
    assert task.cancelled()
    assert [work.running for work in works] == [False, False]


async def test_one_that_is_cancelled_while_it_ends_them_leaves_none_behind() -> None:
    work = Deaf(3)
    task = asyncio.create_task(work.run())
    await turns()
    ending = asyncio.create_task(cancel_and_wait([task], again_s=0.001))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert not work.running
    assert task.done()


async def test_what_has_ended_already_is_left_alone() -> None:
    task = asyncio.create_task(turns())
    await task
    await cancel_and_wait([task])
    assert not task.cancelled()
