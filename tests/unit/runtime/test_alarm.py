from __future__ import annotations

import asyncio
import math

import pytest

from gateway.runtime.alarm import Alarm
from tests.virtual_time import START_S, in_virtual_time, settle


def alarm() -> Alarm:
    return Alarm(asyncio.get_running_loop().time)


def now_s() -> float:
    """In seconds since the start."""
    return asyncio.get_running_loop().time() - START_S


async def waiting(alarm: Alarm, at_s: float) -> asyncio.Task[float]:
    task = asyncio.create_task(alarm.wait(START_S + at_s))
    await settle()
    return task


@in_virtual_time
async def test_rings_at_the_time_that_was_waited_for() -> None:
    assert await alarm().wait(START_S + 5) == START_S + 5
    assert now_s() == 5


@in_virtual_time
async def test_rings_earlier_if_it_is_set_so_meanwhile() -> None:
    one = alarm()
    waits = await waiting(one, 5)
    one.ring_at(START_S + 2)
    assert await waits == START_S + 2
    assert now_s() == 2


@in_virtual_time
async def test_rings_at_the_earliest_of_all_times() -> None:
    one = alarm()
    waits = await waiting(one, 5)
    for at_s in (3, 4, 1, 2, 9):
        one.ring_at(START_S + at_s)
    assert await waits == START_S + 1
    assert now_s() == 1


@in_virtual_time
async def test_can_be_set_before_anybody_waits_and_rings_once() -> None:
    one = alarm()
    one.ring_at(START_S + 3)
    one.ring_at(START_S + 2)
    assert await one.wait(START_S + 5) == START_S + 2
    assert await one.wait(START_S + 5) == START_S + 5
    assert now_s() == 5


@in_virtual_time
async def test_that_is_set_to_a_later_time_rings_when_it_is_waited_for() -> None:
    one = alarm()
    one.ring_at(START_S + 9)
    assert await one.wait(START_S + 5) == START_S + 5
    assert await one.wait(START_S + 20) == START_S + 20, "the later time is forgotten: who has waited looks anew"


@pytest.mark.parametrize("late", [False, True])
@in_virtual_time
async def test_rings_at_once_for_a_time_that_has_passed(late: bool) -> None:
    one = alarm()
    if late:
        waits = await waiting(one, 5)
        one.ring_at(START_S - 1)
        assert await waits == START_S - 1
    else:
        assert await one.wait(START_S - 1) == START_S - 1
    assert now_s() == 0


@in_virtual_time
async def test_lets_others_run_even_if_it_rings_at_once() -> None:
    ran: list[bool] = []
    asyncio.get_running_loop().call_soon(ran.append, True)
    await alarm().wait(START_S)
    assert ran


@in_virtual_time
async def test_a_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    one = alarm()
    waits = await waiting(one, 5)
    one.ring_at(START_S + 3)
    waits.cancel()
    await asyncio.wait([waits])
    assert waits.cancelled()
    assert await one.wait(START_S + 10) == START_S + 10
    assert now_s() == 10


@in_virtual_time
async def test_ringing_while_the_wait_is_cancelled_changes_nothing() -> None:
    one = alarm()
    waits = await waiting(one, 5)
    one.ring_at(START_S)
    waits.cancel()
    await asyncio.wait([waits])
    assert waits.cancelled()


@in_virtual_time
async def test_who_waits_for_nothing_is_woken_by_a_ring() -> None:
    one = alarm()
    asyncio.get_running_loop().call_later(4, one.ring_at, START_S + 4)
    assert await one.wait(math.inf) == START_S + 4
