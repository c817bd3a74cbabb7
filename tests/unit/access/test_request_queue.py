"""Requests wait for their share of the time, in order, and no longer than makes sense."""

from __future__ import annotations

import asyncio

from gateway.access.admission import Refusal
from gateway.access.request_queue import (
    CREDIT_MAX_S,
    FILL,
    GROUP_MAX,
    PARALLEL,
    REFUSAL,
    WAIT_MAX_S,
    WAITING_MAX,
    RequestQueue,
)
from gateway.delivery.load_level import Load
from gateway.delivery.load_meter import Cause, LoadMeter
from gateway.delivery.load_remedies import HTTP_SHARES, Level
from tests.virtual_time import in_virtual_time, settle

COST_S = 0.01


class Rig:
    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.load = Load(shed_above=0)
        self.meter = LoadMeter(lambda: self.cpu_s)
        self.queue = RequestQueue(self.load, self.meter, asyncio.get_running_loop().time)
        self.served: list[int] = []
        self.refused: list[int] = []

    def limit(self, level: Level = Level.BUSY) -> None:
        self.load.levels[Cause.HTTP] = level

    async def request(self, number: int, cost_s: float = COST_S, group: str = "a") -> None:
        if isinstance(await self.queue.enter(group), Refusal):
            self.refused.append(number)
            return
        try:
            with self.meter.charge(Cause.HTTP):
                self.cpu_s += cost_s
            self.served.append(number)
        finally:
            self.queue.leave()

    def start(self, count: int, cost_s: float = COST_S, group: str = "a") -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.request(number, cost_s, group)) for number in range(count)]

    async def work_of_others(self, share: float) -> None:
        """Something else in the process takes this part of the time."""
        with self.meter.charge(Cause.FLUSH):
            while True:
                await asyncio.sleep(0.01)
                self.cpu_s += share * 0.01
                self.meter.settle()


@in_virtual_time
async def test_requests_are_served_at_once_while_http_is_not_the_load() -> None:
    rig = Rig()
    tasks = rig.start(50)
    await settle()
    assert rig.served == list(range(50))
    assert not rig.queue.waiting
    await asyncio.gather(*tasks)


@in_virtual_time
async def test_requests_fill_the_time_that_nothing_else_needs_in_order_of_arrival() -> None:
    rig = Rig()
    rig.limit()
    tasks = rig.start(200)
    await asyncio.sleep(1)
    assert rig.queue.waiting
    assert FILL - CREDIT_MAX_S <= len(rig.served) * COST_S <= FILL + CREDIT_MAX_S + PARALLEL * COST_S
    assert rig.served == list(range(len(rig.served)))
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0.1)
    assert not rig.queue.waiting


@in_virtual_time
async def test_requests_have_their_share_where_everything_else_needs_the_rest() -> None:
    rig = Rig()
    rig.limit()
    others = asyncio.create_task(rig.work_of_others(0.6))
    tasks = rig.start(200)
    await asyncio.sleep(1)
    share = HTTP_SHARES[Level.BUSY]
    assert share - CREDIT_MAX_S <= len(rig.served) * COST_S <= share + CREDIT_MAX_S + PARALLEL * COST_S
    for task in (others, *tasks):
        task.cancel()
    await asyncio.gather(others, *tasks, return_exceptions=True)


@in_virtual_time
async def test_one_request_of_an_address_does_not_wait_for_hundreds_of_another() -> None:
    rig = Rig()
    rig.limit()
    tasks = rig.start(200)
    await asyncio.sleep(0.2)
    before = len(rig.served)
    await rig.request(1000, group="b")
    assert rig.served.index(1000) <= before + 2 * PARALLEL
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@in_virtual_time
async def test_all_that_wait_are_served_when_http_is_no_longer_the_load() -> None:
    rig = Rig()
    rig.limit(Level.OVERLOAD)
    tasks = rig.start(20)
    await asyncio.sleep(0.2)
    assert rig.queue.waiting
    rig.load.levels[Cause.HTTP] = Level.NORMAL
    await asyncio.gather(*tasks)
    assert rig.served == list(range(20))
    assert not rig.queue.waiting


@in_virtual_time
async def test_a_request_that_has_waited_too_long_is_refused() -> None:
    rig = Rig()
    rig.limit(Level.OVERLOAD)
    others = asyncio.create_task(rig.work_of_others(0.9))
    tasks = rig.start(GROUP_MAX)
    await asyncio.sleep(WAIT_MAX_S - 0.1)
    assert not rig.refused
    await asyncio.sleep(0.2)
    assert sorted(rig.refused) == list(range(len(rig.served), GROUP_MAX))
    assert rig.refused
    others.cancel()
    await asyncio.gather(others, *tasks, return_exceptions=True)


@in_virtual_time
async def test_a_request_is_refused_at_once_where_too_many_wait() -> None:
    rig = Rig()
    rig.limit()
    tasks = rig.start(GROUP_MAX + PARALLEL + 10, cost_s=1.0)
    await settle()
    assert rig.refused, "one address has half of the places"
    rig.refused.clear()
    tasks += rig.start(WAITING_MAX - rig.queue.waiting, cost_s=1.0, group="b")
    await settle()
    assert not rig.refused, "others have the rest"
    tasks += rig.start(2, group="c")
    await settle()
    assert len(rig.refused) == 2
    assert REFUSAL.retry_after_s > 0
    for task in tasks:
        task.cancel()
    await settle()


@in_virtual_time
async def test_a_client_that_hangs_up_loses_its_place_and_nobody_else_s() -> None:
    rig = Rig()
    rig.limit()
    tasks = rig.start(30)
    await settle()
    assert not rig.served[25:]
    tasks[25].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert rig.served == [number for number in range(30) if number != 25]


@in_virtual_time
async def test_a_turn_that_comes_as_the_client_hangs_up_is_given_on() -> None:
    rig = Rig()
    rig.limit()
    await asyncio.sleep(CREDIT_MAX_S)
    for _ in range(PARALLEL):
        assert await rig.queue.enter("a") is None
    for _ in range(PARALLEL):
        waiting = asyncio.create_task(rig.queue.enter("a"))
        await settle()
        rig.queue.leave()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await rig.queue.enter("a") is None
    rig.queue.leave()
    await asyncio.wait_for(rig.request(1), 1)
    assert rig.served == [1]
