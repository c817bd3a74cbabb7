"""One connection of an attacker: sends what it likes, as fast as it likes, and says how the gateway ended it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from loadtest.client_frames import CLOSE, close_code, handshake, scan

NOT_CUT = "not cut"
CUT = "cut"
"""The connection ended without a word."""

_BEAT_S = 0.05
_STATUS = b"HTTP/1.1 "


class Line:
    """Open it with `async with`. `source`: the address it comes from, so that limits by address see many hosts."""

    def __init__(self, host: str, port: int, source: str) -> None:
        self._host, self._port, self._source = host, port, source
        self._heard = bytearray()
        self.answered = asyncio.Event()
        """Set with each HTTP answer that is no refusal."""
        self._is_websocket = False

    async def __aenter__(self) -> Self:
        # A small limit: what is not asked for stays in the kernel, and then at the gateway.
        self._reader, self._writer = await asyncio.open_connection(
            self._host, self._port, local_addr=(self._source, 0), limit=4096
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def upgrade(self, *headers: str) -> None:
        """A good handshake. One that is refused shows in `end`."""
        opening = handshake(f"{self._host}:{self._port}", "/v1/stream", None)
        self.send(opening[:-2] + "".join(f"{header}\r\n" for header in headers).encode() + b"\r\n")
        while b"\r\n\r\n" not in self._heard and (data := await self._read()):
            self._heard += data
        if self._heard.startswith(b"HTTP/1.1 101 "):
            self._is_websocket = True
            del self._heard[: self._heard.index(b"\r\n\r\n") + 4]

    def send(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(data)

    async def flood(self, data: bytes, per_s: float) -> None:
        """The same again and again, in bunches, until the connection ends."""
        share = max(1, round(per_s * _BEAT_S))
        while not self._writer.transport.is_closing():
            # Who is not read waits: what piles up here would be this process's memory, not the gateway's.
            if self._writer.transport.get_write_buffer_size() < 1 << 16:
                self.send(data * share)
            await asyncio.sleep(_BEAT_S)

    async def end(self, most_s: float) -> str:
        """Read until the gateway hangs up; how it did: `closed CODE`, an HTTP status, or `cut`."""
        try:
            async with asyncio.timeout(most_s):
                while data := await self._read():
                    self._heard += data
                    if (outcome := self._outcome()) is not None:
                        return outcome
        except TimeoutError:
            return NOT_CUT
        return self._outcome() or CUT

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(65_536)
        except ConnectionError:
            return b""

    def _outcome(self) -> str | None:
        """What has been heard so far; forgets what says nothing."""
        if not self._is_websocket:
            # Of answers that follow each other, the first that refuses counts.
            while (at := self._heard.find(_STATUS)) >= 0 and len(self._heard) >= (end := at + len(_STATUS) + 3):
                status = self._heard[end - 3 : end].decode()
                del self._heard[:end]
                if not status.startswith("2"):
                    return status
                self.answered.set()
            return None
        used, _, _, _, others = scan(self._heard, len(self._heard), b"", None)
        del self._heard[:used]
        codes = [close_code(payload) for opcode, payload in others if opcode == CLOSE]
        return f"closed {codes[0]}" if codes else None
