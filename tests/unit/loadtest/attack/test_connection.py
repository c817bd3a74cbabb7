from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from loadtest.attack.connection import CUT, STILL_OPEN, AttackConnection
from loadtest.protocol.websocket import ACCEPT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def answering(answer: bytes, *, hangs_up: bool = True) -> AsyncIterator[int]:
    """A server that says this to whoever comes and speaks, whatever was sent_by."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        if not hangs_up:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (SWITCHING + b"\x81\x02hi\x88\x02\x03\xf0", "closed 1008"),
        (SWITCHING + b"\x81\x02hi", CUT),
        (SWITCHING + b"\x88\x00", "closed 1005"),
        (BUSY, "503"),
        (b"", CUT),
    ],
    ids=["a code", "no word", "no code", "refused", "nothing"],
)
async def test_the_end_of_a_websocket_is_reported(answer: bytes, expected: str) -> None:
    async with answering(answer) as port, AttackConnection("127.0.0.1", port, "127.0.2.1") as connection:
        await connection.upgrade()
        assert await connection.wait_for_end(5) == expected


async def test_the_first_refusing_answer_counts() -> None:
    async with answering(OK * 3 + BUSY + OK) as port, AttackConnection("127.0.0.1", port, "127.0.2.1") as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await connection.wait_for_end(5) == "503"


async def test_a_connection_that_stays_open_is_reported() -> None:
    async with (
        answering(SWITCHING, hangs_up=False) as port,
        AttackConnection("127.0.0.1", port, "127.0.2.1") as connection,
    ):
        await connection.upgrade()
        assert await connection.wait_for_end(0.05) == STILL_OPEN
