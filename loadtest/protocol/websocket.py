"""The WebSocket codec (RFC 6455) of the load tests and of all tests with a socket of their own. Pure.

The client's half is written for load: `scan` counts updates by walking frame headers, without decoding a payload. The
rest also makes what a correct client never sends (bad masks, reserved bits, unfinished messages), for hostile clients.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

from websockets.utils import apply_mask

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Sequence

    Count = Callable[[bytearray, int, int], tuple[int, int]]

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10

ZERO_MASK = b"\0\0\0\0"
"""Satisfies the rule that clients mask (RFC 6455 section 5.3) and costs no work; loopback has no proxies to fool."""

KEY = base64.b64encode(b"load-test-client").decode()
ACCEPT = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
"""The `Sec-WebSocket-Accept` that answers `KEY` (RFC 6455 section 4.2.2)."""

NO_STATUS = 1005
"""Stands for the code of a close frame without one (RFC 6455 section 7.1.5)."""

_INFLATE_TAIL = b"\x00\x00\xff\xff"

OtherFrame = tuple[int, bytes]
"""Opcode and payload of a frame that is not a counted update; opcode -1 if the frame breaks the rules."""


class HandshakeError(Exception):
    """The server did not switch protocols; `status` is its HTTP status, 0 if the answer is not HTTP."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status


def handshake(host: str, path: str = "/", subprotocol: str | None = None, headers: Sequence[str] = ()) -> bytes:
    """The client's opening request (RFC 6455 section 4.1). `headers`: further lines, such as `Origin: https://x`."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
    ]
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def handshake_end(data: bytes, subprotocol: str | None) -> int:
    """Offset at which frames begin; 0 while the answer is incomplete. Raises `HandshakeError`."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    status_line, *fields = data[:end].split(b"\r\n")
    status = int(status_line.split(b" ")[1]) if status_line.startswith(b"HTTP/1.1 ") else 0
    if status != 101:
        raise HandshakeError(status, status_line.decode("latin-1"))
    headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)}
    if headers.get(b"sec-websocket-accept") != ACCEPT:
        raise HandshakeError(status, "wrong Sec-WebSocket-Accept")
    if headers.get(b"sec-websocket-protocol", b"").decode() != (subprotocol or "") and subprotocol:
        raise HandshakeError(status, f"subprotocol {subprotocol} was not accepted")
    return end + 4


def frame_header(
    opcode: int, size: int, *, final: bool = True, reserved: int = 0, mask: bytes | None = ZERO_MASK
) -> bytes:
    """Header of a client's frame, with the length of its payload in the shortest form (RFC 6455 section 5.2).

    `reserved`: RSV bits to set. `mask`: four bytes, or None for an unmasked frame.
    """
    first, masked = (0x80 if final else 0) | reserved | opcode, 0x80 if mask is not None else 0
    if size < 126:
        header = bytes((first, masked | size))
    elif size < 65536:
        header = struct.pack("!BBH", first, masked | 126, size)
    else:
        header = struct.pack("!BBQ", first, masked | 127, size)
    return header + (mask or b"")


def client_frame(
    payload: bytes = b"", opcode: int = TEXT, *, final: bool = True, reserved: int = 0, mask: bytes | None = ZERO_MASK
) -> bytes:
    """A client's frame; the arguments are those of `frame_header`."""
    header = frame_header(opcode, len(payload), final=final, reserved=reserved, mask=mask)
    return header + (apply_mask(payload, mask) if mask and mask != ZERO_MASK else payload)


def close_frame(code: int, reason: bytes = b"", *, mask: bytes | None = ZERO_MASK) -> bytes:
    """A client's close frame."""
    return client_frame(code.to_bytes(2) + reason, CLOSE, mask=mask)


def close_code(payload: bytes) -> int:
    """The code in the payload of a close frame."""
    return int.from_bytes(payload[:2]) if len(payload) >= 2 else NO_STATUS


def compressed(payload: bytes, level: int = -1, window_bits: int = 15) -> bytes:
    """A payload as permessage-deflate transmits it (RFC 7692 section 7.2.1); its frame needs `reserved=RSV1`."""
    compressor = zlib.compressobj(level, wbits=-window_bits)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[: -len(_INFLATE_TAIL)]


def server_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcodes and payloads of whole frames that a server has written; compressed payloads are inflated.

    Raises `AssertionError` for what the gateway must never send: a fragment, a masked frame, half a frame.
    """
    start = 0
    while start < len(data):
        first, size = data[start], data[start + 1]
        assert first & 0x80, "a frame that is not final"
        assert size < 0x80, "a masked frame"
        start += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[start : start + width])
            start += width
        payload = data[start : start + size]
        assert len(payload) == size, "half a frame"
        start += size
        if first & RSV1:
            payload = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + _INFLATE_TAIL)
        yield first & 0x0F, payload


def scan(
    data: bytearray,
    end: int,
    prefix: bytes,
    count: Count | None,
    run_pattern: re.Pattern[bytes] | None = None,
    opcode: int = TEXT,
) -> tuple[int, int, int, int, list[OtherFrame]]:
    """Walk the complete frames in `data[:end]`.

    A frame with `opcode` whose payload begins with `prefix` is an update. `count(data, start, stop)` returns its number
    of ticker updates and of closed klines; without `count`, updates are returned among the other frames. `run_pattern`
    matches a row of updates that hold one value each; the row is counted by one call.

    Returns the bytes consumed, the numbers of updates, of ticker values and of closed klines in them, and the other
    frames.
    """
    start = frames = tickers = closed = 0
    others: list[OtherFrame] = []
    update = 0x80 | opcode
    while end - start >= 2:
        if run_pattern is not None and count is not None and (found := run_pattern.match(data, start, end)):
            more_tickers, more_closed = count(data, start, found.end())
            frames += more_tickers + more_closed
            tickers += more_tickers
            closed += more_closed
            start = found.end()
            continue
        size = data[start + 1]
        body = start + 2
        if size == 126:
            body += 2
            if body > end:
                break
            size = data[start + 2] << 8 | data[start + 3]
        elif size == 127:
            body += 8
            if body > end:
                break
            size = int.from_bytes(data[start + 2 : body], "big")
        stop = body + size
        if stop > end:
            break
        first = data[start]
        if first == update and data.startswith(prefix, body):
            frames += 1
            if count is None:
                others.append((opcode, bytes(data[body:stop])))
            else:
                more_tickers, more_closed = count(data, body, stop)
                tickers += more_tickers
                closed += more_closed
        else:
            # No server here sends fragments, reserved bits or masked frames. Their payload must not pass for a
            # message.
            valid = first & 0xF0 == 0x80 and first & 0x0F in (opcode, TEXT, CLOSE, PING, PONG)
            others.append((first & 0x0F if valid else -1, bytes(data[body:stop])))
        start = stop
    return start, frames, tickers, closed, others
