"""A WebSocket client on a bare socket: it sends any frame, and reads only when a test asks it to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadtest.protocol.websocket import TEXT, client_frame, handshake, server_frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Peer:
    """A raw client after its handshake."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, opcode: int, payload: bytes = b"", *, final: bool = True) -> None:
        """Send a frame."""
        self.writer.write(client_frame(payload, opcode, final=final))

    def command(self, **fields: Any) -> None:
        """Send a command of the native protocol."""
        self.send(TEXT, json.dumps(fields).encode())

    async def receive(self) -> tuple[int, bytes]:
        """The next frame; `IncompleteReadError` at the end."""
        return next(server_frames(await self.frame()))

    async def frame(self) -> bytes:
        """The bytes of the next frame."""
        head = await self.reader.readexactly(2)
        size = head[1]
        if size >= 126:
            more = await self.reader.readexactly(2 if size == 126 else 8)
            head, size = head + more, int.from_bytes(more)
        return head + await self.reader.readexactly(size)

    async def rest(self) -> list[tuple[int, bytes]]:
        """The frames until the server closes the connection."""
        return list(server_frames(await self.reader.read()))


@asynccontextmanager
async def peer(port: int, *pieces: bytes, receive_buffer: int = 0) -> AsyncIterator[Peer]:
    """Connect, send the pieces (by default a handshake) one by one, and wait for the answer to the handshake."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    # A small limit: unread bytes stay in the kernel.
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    try:
        for piece in pieces or (handshake("x"),):
            writer.write(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.05)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        yield Peer(reader, writer)
    finally:
        # Aborted: an orderly close would wait until the server reads everything.
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
