"""A WebSocket client made of a socket: it sends what it likes, and reads only when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from websockets.frames import Frame, Opcode

from tests.fakes import server_frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def handshake(path: str = "/") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def masked(opcode: Opcode, payload: bytes = b"", *, final: bool = True) -> bytes:
    """A client's frame."""
    return Frame(opcode, payload, final).serialize(mask=True)


@dataclass
class Peer:
    """A raw client after its handshake."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, opcode: Opcode, payload: bytes = b"", *, final: bool = True) -> None:
        self.writer.write(masked(opcode, payload, final=final))

    def say(self, **command: Any) -> None:
        self.send(Opcode.TEXT, json.dumps(command).encode())

    async def receive(self) -> tuple[int, bytes]:
        """The next frame; `IncompleteReadError` at the end."""
        return next(server_frames(await self.frame()))

    async def frame(self) -> bytes:
        """The next frame as it came."""
        head = await self.reader.readexactly(2)
        size = head[1]
        if size >= 126:
            more = await self.reader.readexactly(2 if size == 126 else 8)
            head, size = head + more, int.from_bytes(more)
        return head + await self.reader.readexactly(size)

    async def rest(self) -> list[tuple[int, bytes]]:
        """The frames until the server hangs up."""
        return list(server_frames(await self.reader.read()))


@asynccontextmanager
async def peer(port: int, *pieces: bytes, receive_buffer: int = 0) -> AsyncIterator[Peer]:
    """Sends its handshake (and what it likes behind it) in these pieces, and waits for the answer."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    # A small limit: what is not asked for stays in the kernel.
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    try:
        for piece in pieces or (handshake(),):
            writer.write(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.05)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        yield Peer(reader, writer)
    finally:
        # Not closed in order: what the other side does not read would be waited for.
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
