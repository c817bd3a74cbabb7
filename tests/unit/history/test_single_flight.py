"""Many askers, one read; and nobody who leaves takes the answer from the others."""

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


async def test_all_who_ask_meanwhile_get_the_answer_of_one_read() -> None:
    flight: SingleFlight[str] = SingleFlight()
    read = Read()
    asking = [asyncio.create_task(flight.join("key", read)) for _ in range(50)]
    await settle()
    read.answer.set_result("bars")
    assert await asyncio.gather(*asking) == ["bars"] * 50
    assert (read.calls, flight.coalesced) == (1, 49)


async def test_other_keys_are_read_on_their_own_and_a_landed_read_is_not_reused() -> None:
    flight: SingleFlight[str] = SingleFlight()
    read = Read()
    read.answer.set_result("bars")
    await asyncio.gather(flight.join(1, read), flight.join(2, read))
    await flight.join(1, read)
    assert (read.calls, flight.coalesced) == (3, 0)


async def test_the_first_asker_may_leave_without_ending_the_read() -> None:
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


async def test_a_failure_reaches_everybody_and_the_next_asker_reads_again() -> None:
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


async def test_a_failure_nobody_waits_for_any_more_is_not_reported_as_lost() -> None:
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


async def test_closing_ends_what_is_under_way() -> None:
    flight: SingleFlight[str] = SingleFlight()
    asking = asyncio.create_task(flight.join("key", Read()))
    await settle()
    await flight.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asking
