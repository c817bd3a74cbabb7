"""TLS in front of a gateway that has none, as a deployment's proxy does it: for clients that insist on it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


class TlsFront:
    """Takes TLS connections on a free port of 127.0.0.1 and carries their bytes on; a thread of its own."""

    def __init__(self, certificate: Path, host: str, port: int, *, clients: Path | None = None) -> None:
        """`clients`: authorities, one of which must have signed for whoever connects."""
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)
        if clients is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients)
        self._behind = (host, port)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tls-front")
        self.address = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0, ssl=self._context)
        async with server:
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self._ready.set()
            await self._ended.wait()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(*self._behind)
        with contextlib.suppress(OSError):
            await asyncio.gather(_flusher(reader, behind_writer), _flusher(behind_reader, writer))


async def _flusher(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
