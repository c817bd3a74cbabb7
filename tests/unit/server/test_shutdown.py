from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.server.shutdown import CLOSES_PER_S, RETRY_MIN_MS, drain


@dataclass(eq=False)
class ClosingClient:
    told_ms: list[int] = field(default_factory=list)
    gone: bool = False

    def warn(self, retry_ms: int) -> None:
        assert not self.gone
        self.told_ms.append(retry_ms)

    def shutdown(self) -> None:
        assert not self.gone
        self.gone = True


async def test_all_are_told_before_the_first_one_goes_and_then_all_go() -> None:
    guests = [ClosingClient() for _ in range(30)]
    going = asyncio.create_task(drain(guests, 0.2, lambda: False))
    await asyncio.sleep(0)
    assert all(len(guest.told_ms) == 1 for guest in guests)
    assert not all(guest.gone for guest in guests)
    await going
    assert all(guest.gone for guest in guests)


async def test_what_they_are_told_to_wait_differs_as_far_as_their_ends_do() -> None:
    drawn: list[tuple[int, int]] = []

    def draw(low: int, high: int) -> int:
        drawn.append((low, high))
        return high

    guests = [ClosingClient() for _ in range(CLOSES_PER_S // 10)]
    await drain(guests, 60, lambda: False, draw)
    assert drawn == [(0, 100)] * len(guests)
    assert {guest.told_ms[0] for guest in guests} == {RETRY_MIN_MS + 100}


async def test_who_is_in_a_hurry_waits_for_nobody() -> None:
    guests = [ClosingClient() for _ in range(10_000)]
    async with asyncio.timeout(5):
        await drain(guests, 3600, lambda: True)
    assert all(guest.gone for guest in guests)


async def test_without_guests_there_is_nothing_to_wait_for() -> None:
    await drain([], 3600, lambda: False)
