"""Requests wait for their share of the time, in order, and no longer than makes sense."""

from __future__ import annotations

import asyncio

from gateway.access.admission import Refusal
from gateway.access.request_queue import CREDIT_MAX_S, PARALLEL, REFUSAL, WAIT_MAX_S, WAITING_MAX, RequestQueue
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

    async def request(self, number: int, cost_s: float = COST_S) -> None:
        if isinstance(await self.queue.enter(), Refusal):
            self.refused.append(number)
            return
        try:
            with self.meter.charge(Cause.HTTP):
                self.cpu_s += cost_s
            self.served.append(number)
        finally:
            self.queue.leave()

    def start(self, count: int, cost_s: float = COST_S) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.request(number, cost_s)) for number in range(count)]


@in_virtual_time
async def test_requests_are_served_at_once_while_http_is_not_the_load() -> None:
    rig = Rig()
    tasks = rig.start(50)
    await settle()
    assert rig.served == list(range(50))
    assert not rig.queue.waiting
    await asyncio.gather(*tasks)


@in_virtual_time
async def test_requests_get_their_share_of_the_time_in_order_of_arrival() -> None:
    rig = Rig()
    rig.limit()
    tasks = rig.start(200)
    await asyncio.sleep(1)
    assert rig.queue.waiting
    share_s = HTTP_SHARES[Level.BUSY] * 1
    assert share_s - CREDIT_MAX_S <= len(rig.served) * COST_S <= share_s + CREDIT_MAX_S + PARALLEL * COST_S
    assert rig.served == list(range(len(rig.served)))
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0.1)
    assert not rig.queue.waiting


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
    rig.limit()
    tasks = rig.start(WAITING_MAX)
    await asyncio.sleep(WAIT_MAX_S + 0.1)
    await asyncio.gather(*tasks)
    assert rig.refused == list(range(len(rig.served), WAITING_MAX))
    assert rig.refused


@in_virtual_time
async def test_a_request_is_refused_at_once_where_too_many_wait() -> None:
    rig = Rig()
    rig.limit()
    tasks = rig.start(WAITING_MAX + 10, cost_s=1.0)
    await settle()
    assert rig.refused
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
        assert await rig.queue.enter() is None
    for _ in range(PARALLEL):
        waiting = asyncio.create_task(rig.queue.enter())
        await settle()
        rig.queue.leave()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await rig.queue.enter() is None
    rig.queue.leave()
    await asyncio.wait_for(rig.request(1), 1)
    assert rig.served == [1]
