"""The client's half of RFC 6455, as little of it as a load generator needs. Pure; bytes in, bytes out.

Updates need not be decoded to be counted: `scan` walks the frame headers and hands the payload's place to a counter.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    Count = Callable[[bytearray, int, int], tuple[int, int]]

TEXT = 0x1
CLOSE = 0x8
PING = 0x9
PONG = 0xA

_KEY = base64.b64encode(b"load-test-client").decode()
_ACCEPT = base64.b64encode(hashlib.sha1(f"{_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())

Other = tuple[int, bytes]
"""Opcode and payload of a frame that is not a counted update; opcode -1 if the frame breaks the rules."""


class HandshakeError(Exception):
    """The server did not switch protocols."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status


def handshake(host: str, path: str, subprotocol: str | None) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {_KEY}",
    ]
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return "\r\n".join([*lines, "", ""]).encode()


def handshake_end(data: bytes, subprotocol: str | None) -> int:
    """Where the frames begin; 0 while the answer is incomplete. Raises `HandshakeError`."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    status_line, *fields = data[:end].split(b"\r\n")
    status = int(status_line.split(b" ")[1]) if status_line.startswith(b"HTTP/1.1 ") else 0
    if status != 101:
        raise HandshakeError(status, status_line.decode("latin-1"))
    headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)}
    if headers.get(b"sec-websocket-accept") != _ACCEPT:
        raise HandshakeError(status, "wrong Sec-WebSocket-Accept")
    if headers.get(b"sec-websocket-protocol", b"").decode() != (subprotocol or "") and subprotocol:
        raise HandshakeError(status, f"subprotocol {subprotocol} was not accepted")
    return end + 4


def command(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame. The mask is zero: it is there for the rule's sake, and hides nothing on loopback."""
    size = len(payload)
    if size < 126:
        header = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        header = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        header = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return header + b"\0\0\0\0" + payload


def close_code(payload: bytes) -> int:
    """The code of a close frame; 1005 without one (RFC 6455 section 7.1.5)."""
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005


def scan(
    data: bytearray, end: int, prefix: bytes, count: Count | None, run: re.Pattern[bytes] | None = None
) -> tuple[int, int, int, int, list[Other]]:
    """Walk the complete frames in `data[:end]`.

    Frames whose payload begins with `prefix` are updates; they are counted by `count` and forgotten, or returned among
    the other frames where it is None. What `run` matches is a row of updates with one news each: counted in one go.
    Returns the bytes consumed, the number of updates, of ticker news and of closed klines in them, other frames.
    """
    place = frames = tickers = closed = 0
    others: list[Other] = []
    while end - place >= 2:
        if run is not None and count is not None and (found := run.match(data, place, end)):
            more_tickers, more_closed = count(data, place, found.end())
            frames += more_tickers + more_closed
            tickers += more_tickers
            closed += more_closed
            place = found.end()
            continue
        size = data[place + 1]
        body = place + 2
        if size == 126:
            body += 2
            if body > end:
                break
            size = data[place + 2] << 8 | data[place + 3]
        elif size == 127:
            body += 8
            if body > end:
                break
            size = int.from_bytes(data[place + 2 : body], "big")
        stop = body + size
        if stop > end:
            break
        first = data[place]
        if first == 0x81 and data.startswith(prefix, body):
            frames += 1
            if count is None:
                others.append((TEXT, bytes(data[body:stop])))
            else:
                more_tickers, more_closed = count(data, body, stop)
                tickers += more_tickers
                closed += more_closed
        else:
            # Never sent here: fragments, reserved bits, masked frames. A payload of theirs must not pass for a message.
            valid = first & 0xF0 == 0x80 and first & 0x0F in (TEXT, CLOSE, PING, PONG)
            others.append((first & 0x0F if valid else -1, bytes(data[body:stop])))
        place = stop
    return place, frames, tickers, closed, others
