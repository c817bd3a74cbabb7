"""Tasks that end together, however often they have to be told."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import pytest

from gateway.redis.tasks import Retries, cancel_and_wait, raise_if_cancelled, run_together
from tests.virtual_time import in_virtual_time


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


class TestRetries:
    @in_virtual_time
    async def test_each_failure_is_reported_before_the_next_wait(self) -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        reported: list[tuple[float, str]] = []

        def report(reason: str) -> None:
            reported.append((loop.time() - start_s, reason))

        retries = Retries((1.0, 2.0), report, logging.getLogger(__name__), "attempt failed")
        for error in (OSError("away"), TimeoutError(), OSError("away")):
            await retries.failed(error)
        assert reported == [(0.0, "away"), (1.0, "TimeoutError"), (3.0, "away")]
        assert loop.time() - start_s == 5.0
        retries.succeeded()
        await retries.failed(OSError())
        assert loop.time() - start_s == 6.0


async def test_without_a_cancellation_nothing_is_raised() -> None:
    raise_if_cancelled()
