"""Work on history is done in turns: in the order of asking, with everybody else's work in between."""

from __future__ import annotations

import asyncio

from gateway.history.turns import IDLE_S, SLICE_S, Turns
from tests.virtual_time import in_virtual_time


class Clock:
    """Time that passes only where somebody works."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def work(self, seconds: float) -> None:
        self.now_s += seconds


@in_virtual_time
async def test_who_asks_again_after_each_piece_shares_equally() -> None:
    clock = Clock()
    shared = Turns(clock)
    order: list[str] = []

    async def do(name: str) -> None:
        for _ in range(4):
            async with shared.turn():
                clock.work(SLICE_S)
                order.append(name)

    await asyncio.gather(do("a"), do("b"), do("c"))
    # The first one has begun its second piece when the others ask.
    assert order[:2] == ["a", "a"]
    assert order[2:8] == ["b", "c", "a"] * 2


@in_virtual_time
async def test_others_run_after_a_slice_of_work() -> None:
    clock = Clock()
    shared = Turns(clock)
    heard: list[int] = []
    done = 0

    async def other() -> None:
        while done < 4:
            heard.append(done)
            await asyncio.sleep(0)

    listening = asyncio.create_task(other())
    await asyncio.sleep(0)
    for _ in range(4):
        async with shared.turn():
            clock.work(SLICE_S)
            done += 1
    await listening
    # Before each turn but the first: work of one slice is all that anybody waits for.
    assert heard == [0, 1, 2, 3]


@in_virtual_time
async def test_small_pieces_follow_each_other_without_a_rest() -> None:
    clock = Clock()
    shared = Turns(clock)
    other = asyncio.create_task(asyncio.sleep(0))
    for _ in range(10):
        async with shared.turn():
            clock.work(SLICE_S / 20)
    assert not other.done()
    await other


@in_virtual_time
async def test_while_the_loop_is_busy_it_rests_for_as_long_as_it_worked() -> None:
    clock = Clock()
    shared = Turns(clock)
    loop = asyncio.get_running_loop()
    rounds = 0

    def other() -> None:
        nonlocal rounds
        rounds += 1
        clock.work(0.1)
        loop.call_soon(other)

    async with shared.turn():
        clock.work(0.5)
    loop.call_soon(other)
    async with shared.turn():
        assert rounds in (5, 6), "half a second, in rounds of a tenth"


@in_virtual_time
async def test_it_rests_no_longer_than_the_loop_has_to_do() -> None:
    clock = Clock()
    shared = Turns(clock)
    loop = asyncio.get_running_loop()
    async with shared.turn():
        clock.work(0.5)
    loop.call_soon(clock.work, IDLE_S * 100)
    async with shared.turn():
        assert clock.now_s == 0.5 + IDLE_S * 100


@in_virtual_time
async def test_while_the_loop_is_idle_it_does_not_rest() -> None:
    clock = Clock()
    shared = Turns(clock)
    began_s = asyncio.get_running_loop().time()
    for _ in range(100):
        async with shared.turn():
            clock.work(0.5)
    assert asyncio.get_running_loop().time() == began_s


@in_virtual_time
async def test_a_piece_that_fails_gives_its_turn_back() -> None:
    shared = Turns(Clock())
    try:
        async with shared.turn():
            raise ValueError
    except ValueError:
        pass
    async with shared.turn():
        pass


@in_virtual_time
async def test_those_that_wait_are_counted_until_they_give_up() -> None:
    shared = Turns(Clock())

    async def do() -> None:
        async with shared.turn():
            pass

    async with shared.turn():
        others = [asyncio.create_task(do()) for _ in range(2)]
        await asyncio.sleep(0)
        assert shared.waiting == 2
        others[0].cancel()
        await asyncio.sleep(0)
        assert shared.waiting == 1
    await others[1]
    assert shared.waiting == 0
