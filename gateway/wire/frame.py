"""WebSocket frames (RFC 6455 section 5): payload -> server frame bytes, client bytes -> messages. Pure.

Built for many idle connections: a parser that holds nothing between messages, and frames that are made once and
written to everybody. The library's own protocol object keeps several KB per connection for features not used here.
"""

from __future__ import annotations

import struct
import zlib
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, NamedTuple

from websockets.utils import apply_mask

from gateway.wire.deflate import inflate

if TYPE_CHECKING:
    from codecs import IncrementalDecoder

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_CONTROL_MAX = 125
_UTF8 = getincrementaldecoder("utf-8")

NORMAL, PROTOCOL_ERROR, UNSUPPORTED, BAD_PAYLOAD, TOO_BIG = 1000, 1002, 1003, 1007, 1009


class FrameError(Exception):
    """The client broke the protocol; `code` is the close code that says how (RFC 6455 section 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Message(NamedTuple):
    """One whole message or control frame of the client."""

    opcode: int
    payload: bytes


def frame(opcode: int, payload: bytes) -> bytes:
    """A final, unmasked server frame."""
    return frame_head(opcode, len(payload)) + payload


def frame_head(opcode: int, length: int) -> bytes:
    """The header of a final, unmasked frame with a payload of `length` bytes."""
    if length <= 125:
        return bytes((0x80 | opcode, length))
    if length <= 0xFFFF:
        return struct.pack("!BBH", 0x80 | opcode, 126, length)
    return struct.pack("!BBQ", 0x80 | opcode, 127, length)


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to what a control frame holds, at a character's boundary."""
    text = reason.encode()[: _CONTROL_MAX - 2].decode(errors="ignore").encode()
    return frame(CLOSE, struct.pack("!H", code) + text)


def parse_close(payload: bytes) -> int:
    """The code of a client's close frame, 1005 for none; raises `FrameError` (section 7.4)."""
    if not payload:
        return 1005
    if len(payload) == 1:
        raise FrameError(PROTOCOL_ERROR, "close payload of one byte")
    code = int.from_bytes(payload[:2])
    if not (3000 <= code < 5000 or (1000 <= code < 1015 and code not in (1004, 1005, 1006))):
        raise FrameError(PROTOCOL_ERROR, "close code not allowed")
    try:
        payload[2:].decode()
    except UnicodeDecodeError as error:
        raise FrameError(BAD_PAYLOAD, "close reason is not UTF-8") from error
    return code


class FrameParser:
    """Client bytes in, whole messages out. After a `FrameError` it must not be fed again."""

    __slots__ = ("_decoder", "_deflate", "_max_bytes", "_parts", "_parts_deflated", "_parts_opcode", "_rest")

    def __init__(self, max_bytes: int, *, deflate: bool = False) -> None:
        """`max_bytes`: the largest message taken; `deflate`: whether permessage-deflate was negotiated."""
        self._max_bytes = max_bytes
        self._deflate = deflate
        self._rest = b""
        # A fragmented message so far; most clients never send one.
        self._parts: list[bytes] | None = None
        self._parts_opcode = 0
        self._parts_deflated = False
        self._decoder: IncrementalDecoder | None = None

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes; raises `FrameError`."""
        if self._rest:
            data = self._rest + data
        messages: list[Message] = []
        at = 0
        while (end := self._frame_end(data, at)) is not None:
            start, size = end
            first = data[at]
            opcode, final, deflated = first & 0x0F, bool(first & 0x80), bool(first & 0x40)
            payload = apply_mask(data[start : start + size], data[start - 4 : start])
            at = start + size
            if opcode & 0x8:
                messages.append(Message(opcode, payload))
            elif message := self._assemble(opcode, payload, final=final, deflated=deflated):
                messages.append(message)
        self._rest = data[at:]
        return messages

    def _frame_end(self, data: bytes, at: int) -> tuple[int, int] | None:
        """Where the frame's payload starts and its size, once the whole frame is there. Checks what can be seen yet."""
        have = len(data) - at
        if have < 2:
            return None
        first, second = data[at], data[at + 1]
        opcode, size = first & 0x0F, second & 0x7F
        if first & 0x70 and not (self._deflate and first & 0x70 == 0x40 and opcode in (TEXT, BINARY)):
            raise FrameError(PROTOCOL_ERROR, "reserved bits are set")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise FrameError(PROTOCOL_ERROR, "reserved opcode")
        if not second & 0x80:
            raise FrameError(PROTOCOL_ERROR, "a client's frame must be masked")
        if opcode & 0x8 and (size > _CONTROL_MAX or not first & 0x80):
            raise FrameError(PROTOCOL_ERROR, "control frame fragmented or too long")
        head = 2
        if size >= 126:
            head = 4 if size == 126 else 10
            if have < head:
                return None
            size = int.from_bytes(data[at + 2 : at + head])
        if opcode == CONTINUATION and self._parts is None:
            raise FrameError(PROTOCOL_ERROR, "continuation of nothing")
        if opcode in (TEXT, BINARY) and self._parts is not None:
            raise FrameError(PROTOCOL_ERROR, "new message inside a fragmented one")
        if not opcode & 0x8 and size + sum(map(len, self._parts or ())) > self._max_bytes:
            raise FrameError(TOO_BIG, f"message larger than {self._max_bytes} bytes")
        start = at + head + 4
        return (start, size) if len(data) >= start + size else None

    def _assemble(self, opcode: int, payload: bytes, *, final: bool, deflated: bool) -> Message | None:
        if self._parts is None:
            if final:
                return self._whole(opcode, payload, deflated=deflated)
            self._parts, self._parts_opcode, self._parts_deflated = [], opcode, deflated
            self._decoder = _UTF8() if opcode == TEXT and not deflated else None
        self._parts.append(payload)
        if self._decoder is not None:
            # Each part is checked as it comes: a broken one is refused before the message ends (section 8.1).
            try:
                self._decoder.decode(payload, final)
            except UnicodeDecodeError as error:
                raise FrameError(BAD_PAYLOAD, "text is not UTF-8") from error
        if not final:
            return None
        whole = b"".join(self._parts)
        self._parts = self._decoder = None
        if self._parts_deflated:
            return self._whole(self._parts_opcode, whole, deflated=True)
        return Message(self._parts_opcode, whole)

    def _whole(self, opcode: int, payload: bytes, *, deflated: bool) -> Message:
        if deflated:
            try:
                text = inflate(payload, self._max_bytes)
            except zlib.error as error:
                raise FrameError(BAD_PAYLOAD, "not a deflate stream") from error
            if text is None:
                raise FrameError(TOO_BIG, f"message larger than {self._max_bytes} bytes")
            payload = text
        if opcode == TEXT:
            _check_utf8(payload)
        return Message(opcode, payload)


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise FrameError(BAD_PAYLOAD, "text is not UTF-8") from error
