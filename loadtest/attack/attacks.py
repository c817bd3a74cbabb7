"""What attackers do, and how the gateway must end each connection: a table of short scripts over one connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from loadtest.attack.connection import CUT
from loadtest.protocol.websocket import BINARY, CONTINUATION, PING, PONG, RSV1, client_frame, compressed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from loadtest.attack.connection import AttackConnection

    Script = Callable[[AttackConnection, Sequence[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of attack. `script` runs while the answers are read, until the connection ends."""

    script: Script
    expected: str
    """How the connection must end, in the words of `AttackConnection.wait_for_end`."""
    handshake: tuple[str, ...] | None = ()
    """Further headers of the handshake that comes first; None: no handshake."""
    no_read_s: float = 0.0
    """The attacker reads nothing for so long."""
    timeout_s: float = 15.0
    """The attacker gives up when the connection is still open after so long."""


def _send_once(data: bytes) -> Script:
    async def script(connection: AttackConnection, _: Sequence[str]) -> None:
        connection.send(data)

    return script


def _flood(data: bytes, per_s: float) -> Script:
    async def script(connection: AttackConnection, _: Sequence[str]) -> None:
        await connection.flood(data, per_s)

    return script


async def _subscribe_to_all(connection: AttackConnection, symbols: Sequence[str]) -> None:
    for start in range(0, len(symbols), 200):
        connection.send(_command("subscribe", symbols[start : start + 200]))


async def _churn(connection: AttackConnection, symbols: Sequence[str]) -> None:
    """Subscribe and unsubscribe a thousand channels a second."""
    ops = ("subscribe", "unsubscribe")
    commands = b"".join(_command(op, symbols[start : start + 5]) for start in range(0, 25, 5) for op in ops)
    await connection.flood(commands, 1000 / 50)


async def _request_in_a_loop(connection: AttackConnection, symbols: Sequence[str]) -> None:
    """Send each HTTP request as soon as the one before is answered."""
    request = f"GET /v1/ticker?symbol={symbols[0]} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    while True:
        connection.answered.clear()
        connection.send(request)
        await connection.answered.wait()


def _command(op: str, symbols: Sequence[str]) -> bytes:
    return client_frame(orjson.dumps({"op": op, "channels": [f"ticker:{symbol}" for symbol in symbols]}))


_BOMB = client_frame(compressed(b"0" * 5_000_000, level=9), reserved=RSV1)
"""Five megabytes compressed to five kilobytes, which is within the limit for a received message."""

_ENDLESS_MESSAGE = client_frame(final=False) + client_frame(opcode=CONTINUATION, final=False) * 1000

_DEFLATE = ("Sec-WebSocket-Extensions: permessage-deflate",)
_HALF_HANDSHAKE = b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
_TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20

ATTACKS: dict[str, Attack] = {
    # Floods on an open stream.
    "command_flood": Attack(_flood(client_frame(b'{"op":"list"}'), 2000), "closed 4002"),
    "ping_flood": Attack(_flood(client_frame(b"x" * 125, PING), 1000), "closed 1008"),
    "pong_flood": Attack(_flood(client_frame(b"x" * 125, PONG), 1000), "closed 1008"),
    "fragments": Attack(_send_once(_ENDLESS_MESSAGE), "closed 1008"),
    "churn": Attack(_churn, "closed 4002", timeout_s=30),
    # Connections that only occupy resources.
    "slow_reader": Attack(_subscribe_to_all, CUT, no_read_s=12),
    "never_subscribes": Attack(_send_once(b""), "closed 4003", timeout_s=40),
    # Invalid frames, and messages that cost more to handle than to send.
    "bomb": Attack(_send_once(_BOMB), "closed 1009", _DEFLATE),
    "broken_deflate": Attack(_send_once(client_frame(b"\xff" * 50, reserved=RSV1)), "closed 1007", _DEFLATE),
    "oversize": Attack(_send_once(client_frame(b"x" * 100_000)), "closed 1009"),
    "reserved_bits": Attack(_send_once(b"\xf1\x80" + bytes(4)), "closed 1002"),
    "unmasked": Attack(_send_once(client_frame(b"hi", mask=None)), "closed 1002"),
    "not_utf8": Attack(_send_once(client_frame(b"\xff")), "closed 1007"),
    "binary": Attack(_send_once(client_frame(b"x", BINARY)), "closed 1003"),
    # Without a handshake.
    "half_handshake": Attack(_send_once(_HALF_HANDSHAKE), "408", None),
    "silent": Attack(_send_once(b""), CUT, None),
    "huge_head": Attack(_send_once(_HALF_HANDSHAKE + b"X: " + b"x" * 100_000), "431", None),
    "no_http": Attack(_send_once(_TLS_HELLO), "400", None),
    "http_flood": Attack(_request_in_a_loop, "429", None),
}
"""Attacks by their name in scenarios and reports."""
