from __future__ import annotations

import asyncio

from gateway.http.shared import SHARED_S, Shared
from tests.unit.history.stage import Clock


class Maker:
    """Numbers its answers."""

    def __init__(self) -> None:
        self.made = 0
        self.fails = False

    async def make(self) -> int:
        self.made += 1
        await asyncio.sleep(0)
        if self.fails:
            raise OSError
        return self.made


async def test_requests_at_the_same_time_share_one_answer() -> None:
    maker = Maker()
    shared = Shared(maker.make)
    assert await asyncio.gather(*(shared.get() for _ in range(10))) == [1] * 10


async def test_an_answer_is_made_again_when_it_is_too_old() -> None:
    maker, clock = Maker(), Clock()
    shared = Shared(maker.make, clock_s=clock)
    assert await shared.get() == 1
    clock.now_s += SHARED_S * 0.9
    assert await shared.get() == 1
    clock.now_s += SHARED_S * 0.1
    assert await shared.get() == 2


async def test_an_age_of_its_own() -> None:
    maker, clock = Maker(), Clock()
    shared = Shared(maker.make, 0.1, clock)
    assert await shared.get() == 1
    clock.now_s += 0.1
    assert await shared.get() == 2


async def test_an_error_is_raised_to_those_that_waited_and_not_kept() -> None:
    maker = Maker()
    shared = Shared(maker.make, clock_s=Clock())
    maker.fails = True
    failed = await asyncio.gather(shared.get(), shared.get(), return_exceptions=True)
    assert [type(error) for error in failed] == [OSError, OSError]
    maker.fails = False
    assert await shared.get() == 2
