"""What attackers do, and how each is to end: a table of short scripts over one connection."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from loadtest.attack_line import CUT
from loadtest.client_frames import PING, PONG, command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from loadtest.attack_line import Line

    Script = Callable[[Line, Sequence[str]], Awaitable[None]]

BINARY, CONTINUATION = 2, 0


@dataclass(frozen=True, slots=True)
class Attack:
    """`script` runs beside the reading of what comes, until the connection ends."""

    script: Script
    expected: str
    """How the connection is to end, as `Line.end` says it."""
    handshake: tuple[str, ...] | None = ()
    """More headers of the handshake that comes first; None: there is none."""
    blind_s: float = 0.0
    """It reads nothing for so long."""
    patience_s: float = 15.0
    """Who is not cut after so long more is given up."""


def _said(data: bytes) -> Script:
    async def script(line: Line, _: Sequence[str]) -> None:
        line.send(data)

    return script


def _flood(data: bytes, per_s: float) -> Script:
    async def script(line: Line, _: Sequence[str]) -> None:
        await line.flood(data, per_s)

    return script


async def _greedy(line: Line, symbols: Sequence[str]) -> None:
    """Everything that there is."""
    for place in range(0, len(symbols), 200):
        line.send(_subscribe("subscribe", symbols[place : place + 200]))


async def _churn(line: Line, symbols: Sequence[str]) -> None:
    """A thousand channels a second, on and off."""
    ops = ("subscribe", "unsubscribe")
    turn = b"".join(_subscribe(op, symbols[place : place + 5]) for place in range(0, 25, 5) for op in ops)
    await line.flood(turn, 1000 / 50)


async def _requests(line: Line, symbols: Sequence[str]) -> None:
    """As fast as they are answered."""
    request = f"GET /v1/ticker?symbol={symbols[0]} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    while True:
        line.answered.clear()
        line.send(request)
        await line.answered.wait()


def _subscribe(op: str, symbols: Sequence[str]) -> bytes:
    return command(orjson.dumps({"op": op, "channels": [f"ticker:{symbol}" for symbol in symbols]}))


def _bomb() -> bytes:
    """Five megabytes in five kilobytes: within what a message may be as it comes."""
    compressor = zlib.compressobj(9, wbits=-15)
    data = compressor.compress(b"0" * 5_000_000) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return _marked(data[:-4])


def _marked(data: bytes) -> bytes:
    frame = bytearray(command(data))
    frame[0] |= 0x40
    return bytes(frame)


def _fragments() -> bytes:
    """A message that never ends."""
    first, rest = bytearray(command(b"")), bytearray(command(b"", CONTINUATION))
    first[0] &= 0x7F
    rest[0] &= 0x7F
    return bytes(first + rest * 1000)


_DEFLATE = ("Sec-WebSocket-Extensions: permessage-deflate",)
_HALF = b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"

ATTACKS: dict[str, Attack] = {
    # Floods, once they are in.
    "command_flood": Attack(_flood(command(b'{"op":"list"}'), 2000), "closed 4002"),
    "ping_flood": Attack(_flood(command(b"x" * 125, PING), 1000), "closed 1008"),
    "pong_flood": Attack(_flood(command(b"x" * 125, PONG), 1000), "closed 1008"),
    "fragments": Attack(_said(_fragments()), "closed 1008"),
    "churn": Attack(_churn, "closed 4002", patience_s=30),
    # Who only takes place.
    "slow_reader": Attack(_greedy, CUT, blind_s=12),
    "never_subscribes": Attack(_said(b""), "closed 4003", patience_s=40),
    # Frames that no WebSocket has, and messages that cost more than they weigh.
    "bomb": Attack(_said(_bomb()), "closed 1009", _DEFLATE),
    "broken_deflate": Attack(_said(_marked(b"\xff" * 50)), "closed 1007", _DEFLATE),
    "oversize": Attack(_said(command(b"x" * 100_000)), "closed 1009"),
    "reserved_bits": Attack(_said(b"\xf1\x80" + bytes(4)), "closed 1002"),
    "unmasked": Attack(_said(b"\x81\x02hi"), "closed 1002"),
    "not_utf8": Attack(_said(command(b"\xff")), "closed 1007"),
    "binary": Attack(_said(command(b"x", BINARY)), "closed 1003"),
    # Before any handshake.
    "half_handshake": Attack(_said(_HALF), "408", None),
    "silent": Attack(_said(b""), CUT, None),
    "huge_head": Attack(_said(_HALF + b"X: " + b"x" * 100_000), "431", None),
    "no_http": Attack(_said(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20), "400", None),
    "http_flood": Attack(_requests, "429", None),
}
