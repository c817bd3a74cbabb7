"""What is said of a link beyond the feeds' own tests (`test_pubsub.py`, `test_sharded_pubsub.py`)."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from gateway.feed.link import Link
from gateway.redis.subscription import ConnectionLost
from tests.unit.feed.doubles import FakeConnection, FakeTransport
from tests.virtual_time import in_virtual_time, settle

if TYPE_CHECKING:
    from gateway.redis.subscription import Messages


class Receiver:
    received_bytes = 0
    charge: AbstractContextManager[None] = nullcontext()
    surging = False

    def reduce(self, data: bytes) -> bytes:
        return data

    def take(self, messages: Messages) -> None:
        raise AssertionError


def link(transport: FakeTransport, **options: Any) -> Link:
    connection: Any = FakeConnection(transport)
    return Link("p", connection, Receiver(), 10.0, **options)


@in_virtual_time
async def test_a_link_that_ends_is_never_acknowledged() -> None:
    ends: list[str] = []
    transport = FakeTransport(acknowledges=False)
    it = link(transport, on_end=lambda: ends.append("end"))
    it.subscribe(["a*"])
    transport.lose()
    with pytest.raises(ConnectionLost):
        await it.wait_acknowledged()
    assert (it.ended, ends) == (True, ["end"])
    await it.aclose()


@in_virtual_time
async def test_waiting_ends_at_its_time_or_with_the_link() -> None:
    transport = FakeTransport()
    it = link(transport)
    start_s = asyncio.get_running_loop().time()
    await it.wait_until(start_s + 7)
    assert asyncio.get_running_loop().time() == start_s + 7
    transport.lose()
    with pytest.raises(ConnectionLost, match="closed by the server"):
        await it.wait_until(float("inf"))
    await it.aclose()


@in_virtual_time
async def test_nothing_can_be_asked_over_a_link_that_has_ended() -> None:
    transport = FakeTransport()
    it = link(transport)
    transport.lose()
    await settle()
    with pytest.raises(ConnectionLost):
        await it.subscription.answered()
    await it.aclose()
