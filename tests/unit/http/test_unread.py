from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.http.unread import PART_BYTES, UnreadAnswers
from tests.virtual_time import in_virtual_time, settle

if TYPE_CHECKING:
    from starlette.types import Message

BIG = bytes(2 * PART_BYTES + 1)


class Server:
    """Takes messages while it may write."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.writable = asyncio.Event()

    async def send(self, message: Message) -> None:
        await self.writable.wait()
        self.taken.append(dict(message))


def body(data: bytes, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, **more}


@pytest.mark.parametrize("message", [{"type": "http.response.start"}, body(b"x" * PART_BYTES)], ids=["start", "small"])
async def test_small_messages_are_passed_on_as_they_are(message: dict[str, Any]) -> None:
    unread, server = UnreadAnswers(), Server()
    server.writable.set()
    await unread.send("a", message, server.send)
    assert server.taken == [message]


async def test_a_large_body_is_sent_in_parts_and_ends_with_an_empty_one() -> None:
    unread, server = UnreadAnswers(), Server()
    server.writable.set()
    await unread.send("a", body(BIG), server.send)
    assert b"".join(message["body"] for message in server.taken) == BIG
    assert max(len(message["body"]) for message in server.taken) == PART_BYTES
    assert [message["more_body"] for message in server.taken] == [True, True, True, False]
    assert server.taken[-1]["body"] == b""
    assert unread.total_bytes == 0


async def test_more_of_a_body_may_follow_a_large_part() -> None:
    unread, server = UnreadAnswers(), Server()
    server.writable.set()
    await unread.send("a", body(BIG, more_body=True), server.send)
    assert server.taken[-1]["more_body"]


@in_virtual_time
async def test_an_address_that_does_not_read_gets_no_more_answers() -> None:
    unread, server = UnreadAnswers(len(BIG) + 1, 10 * len(BIG)), Server()
    tasks = [asyncio.ensure_future(unread.send("a", body(BIG), server.send))]
    await settle()
    assert not unread.too_many("a")
    tasks.append(asyncio.ensure_future(unread.send("a", body(BIG), server.send)))
    await settle()
    assert unread.too_many("a")
    assert not unread.too_many("b")
    server.writable.set()
    await asyncio.gather(*tasks)
    assert not unread.too_many("a")


@in_virtual_time
async def test_when_many_do_not_read_those_with_nothing_to_read_still_get_answers() -> None:
    unread, server = UnreadAnswers(10 * len(BIG), 2 * len(BIG)), Server()
    tasks = [asyncio.ensure_future(unread.send(group, body(BIG), server.send)) for group in "ab"]
    await settle()
    assert [unread.too_many(group) for group in "abc"] == [True, True, False]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert unread.total_bytes == 0
