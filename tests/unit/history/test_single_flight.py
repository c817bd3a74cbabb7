"""Many requests share one read, and a request that is cancelled does not cancel it for the others."""

from __future__ import annotations

import asyncio

import pytest

from gateway.history.single_flight import SingleFlight


class Read:
    """A read that a test finishes."""

    def __init__(self) -> None:
        self.calls = 0
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.calls += 1
        return await self.answer


async def settle() -> None:
    """Let every task run up to where it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_concurrent_requests_share_one_read() -> None:
    flight: SingleFlight[str] = SingleFlight()
    read = Read()
    asking = [asyncio.create_task(flight.join("key", read)) for _ in range(50)]
    await settle()
    read.answer.set_result("bars")
    assert await asyncio.gather(*asking) == ["bars"] * 50
    assert (read.calls, flight.coalesced) == (1, 49)


async def test_other_keys_are_read_separately_and_a_finished_read_is_not_reused() -> None:
    flight: SingleFlight[str] = SingleFlight()
    read = Read()
    read.answer.set_result("bars")
    await asyncio.gather(flight.join(1, read), flight.join(2, read))
    await flight.join(1, read)
    assert (read.calls, flight.coalesced) == (3, 0)


async def test_the_first_request_may_be_cancelled_without_ending_the_read() -> None:
    flight: SingleFlight[str] = SingleFlight()
    read = Read()
    first, second = (asyncio.create_task(flight.join("key", read)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    read.answer.set_result("bars")
    assert await second == "bars"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failure_reaches_every_request_and_the_next_one_reads_again() -> None:
    flight: SingleFlight[str] = SingleFlight()
    read = Read()
    asking = [asyncio.create_task(flight.join("key", read)) for _ in range(3)]
    await settle()
    read.answer.set_exception(OSError("away"))
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError] * 3
    again = Read()
    again.answer.set_result("bars")
    assert await flight.join("key", again) == "bars"


async def test_a_request_that_must_be_fresh_does_not_wait_for_an_older_read() -> None:
    now_s = [0.0]
    flight: SingleFlight[str] = SingleFlight(lambda: now_s[0])
    old, new = Read(), Read()
    asking = [asyncio.create_task(flight.join("key", old))]
    await settle()
    now_s[0] = 1.0
    asking.append(asyncio.create_task(flight.join("key", new, max_age_s=0.5)))
    await settle()
    now_s[0] = 1.5
    asking += [asyncio.create_task(flight.join("key", old, age_s)) for age_s in (0.5, float("inf"))]
    await settle()
    old.answer.set_result("before")
    assert await asking[0] == "before"
    asking.append(asyncio.create_task(flight.join("key", old)))
    await settle()
    new.answer.set_result("now")
    assert await asyncio.gather(*asking[1:]) == ["now"] * 4
    assert (old.calls, new.calls, flight.coalesced) == (1, 1, 3)


async def test_a_failure_without_waiters_is_not_logged_by_asyncio() -> None:
    lost: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    flight: SingleFlight[str] = SingleFlight()
    read = Read()
    asking = asyncio.create_task(flight.join("key", read))
    await settle()
    asking.cancel()
    await settle()
    read.answer.set_exception(OSError("away"))
    await settle()
    del read, asking
    assert lost == []


async def test_closing_cancels_reads_in_flight() -> None:
    flight: SingleFlight[str] = SingleFlight()
    asking = asyncio.create_task(flight.join("key", Read()))
    await settle()
    await flight.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asking
