"""WebSocket frames (RFC 6455 section 5): payload -> server frame bytes, client bytes -> messages. Pure.

Built for many idle connections: the parser holds nothing between messages, and a frame is made once and written to many
clients. The protocol object of `websockets` keeps several KB per connection for features not used here.
"""

from __future__ import annotations

import re
import struct
import zlib
from codecs import getincrementaldecoder
from typing import NamedTuple

from websockets.utils import apply_mask

from gateway.delivery.close_codes import ABNORMAL, NO_STATUS, Close
from gateway.protocol.deflate import inflate

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_CONTROL_MAX = 125
_UTF8 = getincrementaldecoder("utf-8")
# The first two bytes of a surrogate, which UTF-8 excludes (RFC 3629); Python's decoder waits for the third.
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]").match

FRAGMENTS_MAX = 128
"""Frames per message. Commands are small, and a frame of one byte costs as much as a whole command."""


SMALL_MESSAGE_BYTES = 8192
"""Unfinished messages up to this size are limited by the number of connections only."""


class LargeMessages:
    """How many unfinished messages of more than `SMALL_MESSAGE_BYTES` there may be at a time: thousands of clients that
    send theirs byte by byte must not fill the memory."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self._most = most

    def enter(self) -> bool:
        """Count one more, unless there are too many."""
        if self.count >= self._most:
            return False
        self.count += 1
        return True

    def leave(self) -> None:
        """One has been completed or given up."""
        self.count -= 1


class FrameError(Exception):
    """The client broke the protocol; `close` says with which code to answer (RFC 6455 section 7.4.1)."""

    def __init__(self, close: Close, reason: str) -> None:
        super().__init__(reason)
        self.close = close
        self.reason = reason


class Message(NamedTuple):
    """One complete message or control frame from the client."""

    opcode: int
    payload: bytes


def frame(opcode: int, payload: bytes) -> bytes:
    """A final, unmasked server frame (section 5.2)."""
    return frame_head(opcode, len(payload)) + payload


def frame_head(opcode: int, length: int) -> bytes:
    """The header of a final, unmasked frame with a payload of `length` bytes."""
    if length <= 125:
        return bytes((0x80 | opcode, length))
    if length <= 0xFFFF:
        return struct.pack("!BBH", 0x80 | opcode, 126, length)
    return struct.pack("!BBQ", 0x80 | opcode, 127, length)


KEEPALIVE = frame(PING, b"kg")
"""The ping by which the gateway learns that a client is there."""


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame (section 5.5.1); the reason is cut at a character boundary to fit into a control frame."""
    text = reason.encode()[: _CONTROL_MAX - 2].decode(errors="ignore").encode()
    return frame(CLOSE, struct.pack("!H", code) + text)


def parse_close(payload: bytes) -> int:
    """The code of a client's close frame, `NO_STATUS` without one; raises `FrameError` (section 7.4)."""
    if not payload:
        return NO_STATUS
    if len(payload) == 1:
        raise FrameError(Close.PROTOCOL_ERROR, "close payload of one byte")
    code = int.from_bytes(payload[:2])
    if not (3000 <= code < 5000 or (1000 <= code < 1015 and code not in (1004, NO_STATUS, ABNORMAL))):
        raise FrameError(Close.PROTOCOL_ERROR, "close code not allowed")
    try:
        payload[2:].decode()
    except UnicodeDecodeError as error:
        raise FrameError(Close.BAD_PAYLOAD, "close reason is not UTF-8") from error
    return code


class FrameParser:
    """Turns bytes from a client into complete messages. Must not be used again after a `FrameError`.

    Time and memory are linear in the bytes fed, however they are split: a payload is consumed and checked as it
    arrives, and only an incomplete frame header waits for more bytes.
    """

    __slots__ = ("_at", "_data", "_deflate", "_frame", "_large", "_max_bytes", "_message")

    def __init__(self, max_bytes: int, *, deflate: bool = False, large: LargeMessages | None = None) -> None:
        """`max_bytes`: largest message accepted. `deflate`: permessage-deflate was negotiated. `large`: counts the
        large unfinished messages of all clients."""
        self._max_bytes = max_bytes
        self._large = large
        self._deflate = deflate
        # Bytes received, and how many of them are consumed.
        self._data = b""
        self._at = 0
        # The incomplete frame and message; most clients never have one.
        self._frame: _Frame | None = None
        self._message: _Part | None = None

    def feed(self, data: bytes) -> None:
        """Add bytes from the client; read them with `next_message`."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def next_message(self) -> Message | None:
        """The next message or control frame; `None` when more bytes are needed. Raises `FrameError`."""
        while (frame := self._frame or self._begin()) is not None:
            payload = self._data[self._at : self._at + frame.left]
            self._at += len(payload)
            text = frame.unmask(payload)
            self._frame = frame if frame.left else None
            if message := self._take(frame, text):
                return message
            if frame.left:
                break
        self._data, self._at = self._data[self._at :], 0
        return None

    def discard(self) -> None:
        """Give up an unfinished message: the connection has ended."""
        self._end_message()

    @property
    def has_more(self) -> bool:
        """Whether there are bytes that `next_message` has not consumed."""
        return self._at < len(self._data)

    def _begin(self) -> _Frame | None:
        """Consume a frame header once it is complete (section 5.2); check as much as there is of it before."""
        data, at = self._data, self._at
        have = len(data) - at
        if have < 2:
            return None
        first, second = data[at], data[at + 1]
        opcode, size = first & 0x0F, second & 0x7F
        if first & 0x70 and not (self._deflate and first & 0x70 == 0x40 and opcode in (TEXT, BINARY)):
            raise FrameError(Close.PROTOCOL_ERROR, "reserved bits are set")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise FrameError(Close.PROTOCOL_ERROR, "reserved opcode")
        if not second & 0x80:
            raise FrameError(Close.PROTOCOL_ERROR, "a client's frame must be masked")
        if opcode & 0x8 and (size > _CONTROL_MAX or not first & 0x80):
            raise FrameError(Close.PROTOCOL_ERROR, "control frame fragmented or too long")
        if opcode == CONTINUATION and self._message is None:
            raise FrameError(Close.PROTOCOL_ERROR, "continuation frame without a message")
        if opcode in (TEXT, BINARY) and self._message is not None:
            raise FrameError(Close.PROTOCOL_ERROR, "new message inside a fragmented one")
        head = 2
        if size >= 126:
            head = 4 if size == 126 else 10
            if have < head:
                return None
            size = int.from_bytes(data[at + 2 : at + head])
            if size >> 63:
                raise FrameError(Close.PROTOCOL_ERROR, "the first bit of the length is set")
        if not opcode & 0x8 and size + (len(self._message.payload) if self._message else 0) > self._max_bytes:
            raise FrameError(Close.TOO_BIG, f"message larger than {self._max_bytes} bytes")
        if have < head + 4:
            return None
        self._at += head + 4
        if opcode == CONTINUATION and self._message is not None:
            self._message.continued()
        return _Frame(first, size, data[at + head : at + head + 4])

    def _take(self, frame: _Frame, text: bytes) -> Message | None:
        """Take a part of a frame's payload; returns the message or control frame that it completes."""
        whole = not frame.left
        if frame.opcode & 0x8:
            frame.control += text
            return Message(frame.opcode, frame.control) if whole else None
        if self._message is None:
            if whole and frame.final:
                return self._complete(frame.opcode, text, deflated=frame.deflated)
            self._message = _Part(frame.opcode, deflated=frame.deflated)
        message, final = self._message, whole and frame.final
        message.add(text, final=final)
        if not final:
            self._check_size(message)
            return None
        self._end_message()
        if message.deflated:
            return self._complete(message.opcode, bytes(message.payload), deflated=True)
        return Message(message.opcode, bytes(message.payload))

    def _check_size(self, message: _Part) -> None:
        if self._large is not None and not message.large and len(message.payload) > SMALL_MESSAGE_BYTES:
            if not self._large.enter():
                raise FrameError(Close.OVERLOADED, "too many large messages at a time")
            message.large = True

    def _end_message(self) -> None:
        message, self._message = self._message, None
        if message is not None and message.large and self._large is not None:
            self._large.leave()

    def _complete(self, opcode: int, payload: bytes, *, deflated: bool) -> Message:
        if deflated:
            try:
                text = inflate(payload, self._max_bytes)
            except zlib.error as error:
                raise FrameError(Close.BAD_PAYLOAD, "payload is not a deflate stream") from error
            if text is None:
                raise FrameError(Close.TOO_BIG, f"message larger than {self._max_bytes} bytes")
            payload = text
        if opcode == TEXT:
            _check_utf8(payload)
        return Message(opcode, payload)


class _Frame:
    """A frame whose header has been read. `control`: the payload so far, of a control frame."""

    __slots__ = ("_mask", "control", "deflated", "final", "left", "opcode")

    def __init__(self, first: int, size: int, mask: bytes) -> None:
        self.opcode, self.final, self.deflated = first & 0x0F, bool(first & 0x80), bool(first & 0x40)
        self.left = size
        self.control = b""
        self._mask = mask

    def unmask(self, payload: bytes) -> bytes:
        """Unmask the next bytes of the payload, with the mask at its current position (section 5.3)."""
        self.left -= len(payload)
        text = apply_mask(payload, self._mask)
        turn = len(payload) % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        return text


class _Part:
    """An incomplete message.

    Text is checked as it arrives, so that it is refused as soon as it cannot be UTF-8 any more (section 8.1).
    """

    __slots__ = ("_decoder", "_fragments", "deflated", "large", "opcode", "payload")

    def __init__(self, opcode: int, *, deflated: bool) -> None:
        self.opcode = opcode
        self.deflated = deflated
        self.payload = bytearray()
        self.large = False
        self._decoder = _UTF8() if opcode == TEXT and not deflated else None
        self._fragments = 1

    def continued(self) -> None:
        """Count one more frame of the message."""
        self._fragments += 1
        if self._fragments > FRAGMENTS_MAX:
            raise FrameError(Close.POLICY, f"message of more than {FRAGMENTS_MAX} frames")

    def add(self, text: bytes, *, final: bool) -> None:
        """Append a part of the payload; `final`: it is the last one."""
        self.payload += text
        if self._decoder is not None:
            try:
                self._decoder.decode(text, final)
            except UnicodeDecodeError as error:
                raise FrameError(Close.BAD_PAYLOAD, "text is not UTF-8") from error
            if _SURROGATE(self._decoder.getstate()[0]):
                raise FrameError(Close.BAD_PAYLOAD, "text is not UTF-8")


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise FrameError(Close.BAD_PAYLOAD, "text is not UTF-8") from error
