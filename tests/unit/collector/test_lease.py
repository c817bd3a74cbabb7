"""The lease: one holder at a time, lost at once, given back at the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from collector import script
from collector.lease import LEASE_MS, Lease, LeaseLost
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.contract import Command


class Server:
    """One key with a time to live, and the three scripts."""

    def __init__(self) -> None:
        self.value = ""
        self.until_s = 0.0
        self.expires = True

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        (command,) = commands
        _, source, _, key, holder, *rest = command
        assert key == "lease"
        now_s = asyncio.get_running_loop().time()
        if self.expires and now_s >= self.until_s:
            self.value = ""
        if source == script.ACQUIRE:
            if self.value:
                return [round((self.until_s - now_s) * 1000) if self.expires else -1]
            self.value = str(holder)
        elif self.value != holder:
            return [0]
        if source == script.RELEASE:
            self.value = ""
            return [1]
        self.until_s = now_s + int(rest[0]) / 1000
        return [0 if source == script.ACQUIRE else 1]


@in_virtual_time
async def test_who_asks_first_holds_it_and_the_other_one_waits() -> None:
    server = Server()
    first, second = Lease("lease", server.send), Lease("lease", server.send)
    await first.acquire()
    keeping = asyncio.create_task(first.keep())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(second.acquire(), 60)
    assert server.value == first.holder
    assert second.holder == ""
    keeping.cancel()


@in_virtual_time
async def test_after_the_death_of_its_holder_another_one_has_it_within_its_time() -> None:
    server = Server()
    first, second = Lease("lease", server.send), Lease("lease", server.send)
    await first.acquire()
    await asyncio.wait_for(second.acquire(), LEASE_MS / 1000 + 0.01)
    assert server.value == second.holder
    with pytest.raises(LeaseLost):
        await first.keep()


@in_virtual_time
async def test_given_back_it_is_the_others_at_once_and_by_mistake_never() -> None:
    server = Server()
    first, second = Lease("lease", server.send), Lease("lease", server.send)
    await first.acquire()
    before = first.holder
    await first.release()
    await asyncio.wait_for(second.acquire(), 0.01)
    await first.release()
    assert server.value == second.holder
    await second.release()
    await first.acquire()
    assert first.holder != before


@in_virtual_time
async def test_a_lease_without_an_end_is_looked_at_again_and_again() -> None:
    server = Server()
    server.value, server.expires = "somebody", False
    sut = Lease("lease", server.send)
    acquiring = asyncio.create_task(sut.acquire())
    await asyncio.sleep(10)
    server.value = ""
    await asyncio.wait_for(acquiring, 1)
