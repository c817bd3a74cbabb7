"""A client that sends any bytes it likes and reads to the end: the cases say what goes out and what must come back."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

from loadtest.protocol.websocket import CLOSE, CONTINUATION, TEXT, client_frame, close_code, frame_header, server_frames
from loadtest.protocol.websocket import compressed as codec_compressed

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 70_000
"""The largest message of the server under test: beyond where a length takes eight bytes."""

WAIT_S = 10.0
"""Longest wait for an answer that takes a fraction of a second on an idle machine."""

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x37\xfa\x21\x3d"
DEFLATE = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def handshake(*headers: bytes, line: bytes = b"GET / HTTP/1.1", without: bytes = b"") -> bytes:
    """A good handshake, with more headers, another request line, or one of its own headers left out or replaced."""
    own = [b"Host: x", b"Upgrade: websocket", b"Connection: Upgrade", KEY, b"Sec-WebSocket-Version: 13"]
    kept = [header for header in own if not without or not header.startswith(without)]
    return b"\r\n".join([line, *kept, *headers, b"", b""])


def head(opcode: int, size: int, *, final: bool = True, reserved: int = 0, mask: bytes | None = MASK) -> bytes:
    """A frame's header with the length in its shortest form."""
    return frame_header(opcode, size, final=final, reserved=reserved, mask=mask)


def framed(
    opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0, mask: bytes | None = MASK
) -> bytes:
    """A client's frame, masked with `MASK` unless the case says otherwise."""
    return client_frame(payload, opcode, final=final, reserved=reserved, mask=mask)


def text(payload: bytes, *, final: bool = True) -> bytes:
    return framed(TEXT, payload, final=final)


def more(payload: bytes, *, final: bool = True) -> bytes:
    return framed(CONTINUATION, payload, final=final)


def closing(code: int, reason: bytes = b"") -> bytes:
    return framed(CLOSE, code.to_bytes(2) + reason)


def compressed(payload: bytes, bits: int = 15) -> bytes:
    """A payload as permessage-deflate has it (RFC 7692 section 7.2.1)."""
    return codec_compressed(payload, window_bits=bits)


def closed(code: int) -> tuple[int, int]:
    """What the server is expected to end with."""
    return CLOSE, code


class Wire:
    """One connection. Leaves it to the cases to be polite."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(WAIT_S)
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes, chop: int = 0) -> None:
        """In pieces of `chop` bytes, each a packet of its own."""
        try:
            for at in range(0, len(data), chop or len(data) or 1):
                self._socket.sendall(data[at : at + (chop or len(data))])
        except (BrokenPipeError, ConnectionResetError):
            # The server has said what it has to say, and hung up.
            pass

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self) -> bytes:
        """The head of the HTTP answer, empty where the server hangs up without one."""
        while b"\r\n\r\n" not in self._rest and (data := self._receive()):
            self._rest += data
        answer, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return answer

    def read(self, size: int) -> bytes:
        """So many bytes, or those until the server hangs up."""
        while len(self._rest) < size and (data := self._receive()):
            self._rest += data
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def upgrade(self, *headers: bytes) -> None:
        self.send(handshake(*headers))
        answer = self.answer()
        assert answer.startswith(b"HTTP/1.1 101 "), answer

    def rest(self) -> bytes:
        """All bytes until the server hangs up."""
        parts = [self._rest]
        while data := self._receive():
            parts.append(data)
        return b"".join(parts)

    def cut(self) -> bool:
        """Wait, and read nothing, until the server has cut the connection; whether it did."""
        poll = select.poll()
        poll.register(self._socket, 0)
        return bool(poll.poll(WAIT_S * 1000))

    def readable(self, seconds: float) -> bool:
        """Whether there is something to read within so long."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65_536)
        except ConnectionResetError:
            return b""

    def frames(self) -> list[tuple[int, bytes | int]]:
        """All frames until the server hangs up; of a close frame the code, 1005 without one."""
        return list(_read(self.rest()))


def _read(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    for opcode, payload in server_frames(data):
        if opcode == CLOSE:
            yield opcode, close_code(payload)
        else:
            yield opcode, payload


def exchange(
    port: int, data: bytes, *, chop: int = 0, deflate: bool = False, bye: bool = True
) -> list[tuple[int, bytes | int]]:
    """Everything a server says to these frames, and then (unless `bye` is off) to a goodbye with 1000."""
    with Wire(port) as wire:
        wire.upgrade(*([b"Sec-WebSocket-Extensions: " + DEFLATE] if deflate else []))
        wire.send(data + (closing(1000) if bye else b""), chop)
        return wire.frames()
