"""One connection of an attacker: sends any bytes at any rate, and reports how the gateway ended the connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from loadtest.protocol.websocket import CLOSE, close_code, handshake, scan

# Values of the report, hence unchanged texts.
STILL_OPEN = "not cut"
CUT = "cut"
"""The connection ended without a close frame or an HTTP answer."""

_FLOOD_INTERVAL_S = 0.05
_STATUS = b"HTTP/1.1 "


class AttackConnection:
    """Open it with `async with`. `source`: the local address to connect from; many of them look like many hosts."""

    def __init__(self, host: str, port: int, source: str) -> None:
        self._host, self._port, self._source = host, port, source
        self._received = bytearray()
        self.answered = asyncio.Event()
        """Set by each successful HTTP answer."""
        self._is_websocket = False

    async def __aenter__(self) -> Self:
        # A small limit: unread bytes stay in the kernel, and then at the gateway.
        self._reader, self._writer = await asyncio.open_connection(
            self._host, self._port, local_addr=(self._source, 0), limit=4096
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def upgrade(self, *headers: str) -> None:
        """Do a valid WebSocket handshake; `wait_for_end` reports a refusal."""
        self.send(handshake(f"{self._host}:{self._port}", "/v1/stream", headers=headers))
        while b"\r\n\r\n" not in self._received and (data := await self._read()):
            self._received += data
        if self._received.startswith(b"HTTP/1.1 101 "):
            self._is_websocket = True
            del self._received[: self._received.index(b"\r\n\r\n") + 4]

    def send(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(data)

    async def flood(self, data: bytes, per_s: float) -> None:
        """Send `data` `per_s` times a second, in batches, until the connection ends."""
        batch = max(1, round(per_s * _FLOOD_INTERVAL_S))
        while not self._writer.transport.is_closing():
            # Wait while the gateway does not read: data would pile up in this process, not at the gateway.
            if self._writer.transport.get_write_buffer_size() < 1 << 16:
                self.send(data * batch)
            await asyncio.sleep(_FLOOD_INTERVAL_S)

    async def wait_for_end(self, timeout_s: float) -> str:
        """Read until the gateway ends the connection. Returns `closed CODE`, an HTTP status, `CUT` or `STILL_OPEN`."""
        try:
            async with asyncio.timeout(timeout_s):
                while data := await self._read():
                    self._received += data
                    if (outcome := self._outcome()) is not None:
                        return outcome
        except TimeoutError:
            return STILL_OPEN
        return self._outcome() or CUT

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(65_536)
        except ConnectionError:
            return b""

    def _outcome(self) -> str | None:
        """How the bytes received so far end the connection, or None; drops those that do not end it."""
        if not self._is_websocket:
            # Of consecutive HTTP answers, the first refusal counts.
            while (at := self._received.find(_STATUS)) >= 0 and len(self._received) >= (end := at + len(_STATUS) + 3):
                status = self._received[end - 3 : end].decode()
                del self._received[:end]
                if not status.startswith("2"):
                    return status
                self.answered.set()
            return None
        used, _, _, _, others = scan(self._received, len(self._received), b"", None)
        del self._received[:used]
        codes = [close_code(payload) for opcode, payload in others if opcode == CLOSE]
        return f"closed {codes[0]}" if codes else None
