from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from gateway.http.request_turns import BATCH, REST_S, SLICE_S, RequestTurns, Slots
from tests.virtual_time import VirtualTimeLoop, in_virtual_time, settle


class Worker:
    """Requests that take time, and when each of them ran."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        self.loop = loop
        self.turns = RequestTurns(loop.time)
        self.began_s = loop.time()
        self.ran: list[tuple[str, float]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, group: str, times: int, work_s: float) -> None:
        self.tasks += [asyncio.ensure_future(self._request(group, work_s)) for _ in range(times)]

    async def _request(self, group: str, work_s: float) -> None:
        await self.turns.enter(group)
        self.work(group, work_s)

    def work(self, group: str, work_s: float) -> None:
        self.ran.append((group, self.loop.time() - self.began_s))
        self.loop.jump(work_s)

    async def done(self) -> None:
        await asyncio.gather(*self.tasks)

    @property
    def order(self) -> str:
        return "".join(group for group, _ in self.ran)


class TestTurns:
    @in_virtual_time
    async def test_a_request_alone_runs_at_once(self) -> None:
        worker = Worker()
        assert worker.turns.is_free()
        worker.ask("a", 1, 0.1)
        await worker.done()
        assert worker.ran == [("a", 0.0)]

    @in_virtual_time
    async def test_requests_run_for_a_slice_and_then_leave_the_loop_to_others(self) -> None:
        worker = Worker()
        others: list[float] = []

        async def follow() -> None:
            while True:
                others.append(worker.loop.time())
                await asyncio.sleep(0.001)

        other = asyncio.ensure_future(follow())
        worker.ask("a", 100, 0.001)
        await worker.done()
        other.cancel()
        longest_s = max(after - before for before, after in pairwise(others))
        assert longest_s <= SLICE_S + 0.002
        # Two thirds of the time, as long as they wait.
        assert worker.loop.time() - worker.began_s == pytest.approx(0.1 * (SLICE_S + REST_S) / SLICE_S, rel=0.2)

    @in_virtual_time
    async def test_addresses_take_turns_however_many_requests_one_has(self) -> None:
        worker = Worker()
        worker.ask("a", 100, 0.001)
        worker.ask("b", 2, 0.001)
        await worker.done()
        # The first slice is full of what came first.
        first = round(SLICE_S / 0.001)
        assert worker.order.index("b") <= first + BATCH
        assert worker.order.rindex("b") <= first + 2 * BATCH

    @in_virtual_time
    async def test_a_request_that_goes_on_after_a_wait_waits_for_its_turn_again(self) -> None:
        worker = Worker()
        going_on: list[float] = []

        async def long_request() -> None:
            await worker.turns.enter("a")
            for _ in range(4):
                worker.loop.jump(SLICE_S)
                await worker.turns.wait()
                going_on.append(round(worker.loop.time() - worker.began_s, 4))

        worker.tasks.append(asyncio.ensure_future(long_request()))
        await worker.done()
        assert going_on == [round(number * (SLICE_S + REST_S), 4) for number in range(1, 5)]
        assert worker.turns.group == ""

    @in_virtual_time
    async def test_deferred_work_takes_its_turn(self) -> None:
        worker = Worker()
        worker.ask("a", 20, 0.001)
        await settle()
        worker.turns.defer("b", lambda: worker.work("b", 0.001))
        assert not worker.turns.is_free()
        await worker.done()
        assert "b" in worker.order
        assert worker.order.index("b") < len(worker.order) - 1

    @in_virtual_time
    async def test_a_cancelled_request_leaves_the_queue(self) -> None:
        worker = Worker()
        worker.ask("a", 20, 0.001)
        await asyncio.sleep(0)
        worker.tasks[-1].cancel()
        await asyncio.gather(*worker.tasks, return_exceptions=True)
        assert len(worker.ran) == 19
        assert worker.turns.waiting == 0


class TestSlots:
    @in_virtual_time
    async def test_so_many_hold_a_slot_and_groups_take_turns_for_the_next(self) -> None:
        slots, order = Slots(2), list[str]()

        async def hold(name: str) -> None:
            await slots.acquire(name[0])
            order.append(name)
            await asyncio.sleep(1)
            slots.release()

        tasks = [asyncio.ensure_future(hold(name)) for name in ("a1", "a2", "a3", "a4", "b1")]
        await settle()
        assert order == ["a1", "a2"]
        await asyncio.gather(*tasks)
        assert order == ["a1", "a2", "a3", "b1", "a4"]

    @in_virtual_time
    async def test_a_slot_is_not_lost_with_one_that_gives_up(self) -> None:
        slots = Slots(1)
        await slots.acquire("a")
        waiting = [asyncio.ensure_future(slots.acquire("a")) for _ in range(3)]
        await settle()
        waiting[0].cancel()
        await settle()
        slots.release()
        # Given the slot and cancelled in the same moment.
        waiting[1].cancel()
        await settle()
        assert [task.cancelled() for task in waiting[:2]] == [True, True]
        await waiting[2]
        slots.release()
        await slots.acquire("a")
