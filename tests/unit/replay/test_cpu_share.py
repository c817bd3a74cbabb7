from __future__ import annotations

import asyncio

import pytest

from gateway.replay.cpu_share import BURST_S, BUSY_PAUSE_S, CpuShare


class Core:
    """Time, of which work takes some."""

    def __init__(self, share: float) -> None:
        self.now_s = 100.0
        self.cpu_s = 0.0
        self.busy = False
        self.pauses_s: list[float] = []
        self.share = CpuShare(share, lambda: self.busy, lambda: self.now_s, lambda: self.cpu_s, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.pauses_s.append(seconds)
        await asyncio.sleep(0)

    async def work(self, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            async with self.share.turn():
                self.now_s += seconds
                self.cpu_s += seconds


async def test_turns_keep_to_their_share() -> None:
    core = Core(0.2)
    await core.work(0.002, 1000)
    elapsed_s = core.now_s - 100.0
    assert core.share.spent_s == pytest.approx(2.0)
    assert (core.share.spent_s - BURST_S - 0.002) / elapsed_s <= 0.2 <= core.share.spent_s / elapsed_s


async def test_a_little_work_need_not_wait() -> None:
    core = Core(0.2)
    await core.work(0.002, 5)
    assert sum(core.pauses_s) == 0
    assert len(core.pauses_s) == 5, "but others have their turn in between"


async def test_all_share_it_in_turns() -> None:
    core, order = Core(0.2), []

    async def work(name: str) -> None:
        for _ in range(3):
            async with core.share.turn():
                order.append(name)
                core.now_s += 0.01
                core.cpu_s += 0.01

    await asyncio.gather(work("a"), work("b"))
    assert order == ["a", "b"] * 3


async def test_while_live_clients_need_all_there_is_turns_are_rare() -> None:
    core = Core(0.5)
    core.busy = True
    await core.work(0.001, 4)
    assert core.now_s - 100.0 >= 4 * BUSY_PAUSE_S


async def test_a_turn_that_fails_counts() -> None:
    core = Core(0.5)

    async def fail() -> None:
        async with core.share.turn():
            core.cpu_s += 1.0
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    await core.work(0.001)
    assert core.share.spent_s == pytest.approx(1.001)
