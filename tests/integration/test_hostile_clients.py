"""A whole gateway and clients that mean it ill: what they do is counted, costs little, and disturbs nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from websockets.frames import Opcode

from gateway.delivery.session import CONTROL_MAX_BYTES
from loadtest.protocol.websocket import client_frame, handshake
from tests.integration.live import PRICE, client, make_config, serving, until
from tests.integration.raw import peer

if TYPE_CHECKING:
    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher, Serving

STREAMS = ["/v1/stream", "/ws"]
ASKING = b'{"op":"subscribe","channels":[%s]}' % b",".join(b'"ticker:NOBODY%03dUSDT"' % n for n in range(200))
ANSWER_BYTES = 30_000
"""More than what is said to that: two hundred times that nobody has data for it."""


async def disconnects(at: Serving, code: int) -> float:
    return await at.metric(f'gateway_disconnects_total{{code="{code}"}}')


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        *((path, b"\x81\x01x", 1002) for path in STREAMS),
        ("/v1/stream", client_frame(b"x", Opcode.BINARY), 1003),
        *((path, client_frame(b"\xff", Opcode.TEXT), 1007) for path in STREAMS),
        *((path, client_frame(opcode=Opcode.PING) * 200, 1008) for path in STREAMS),
        ("/v1/stream", client_frame(b" " * 9000, Opcode.TEXT), 1009),
        ("/ws", client_frame(b" " * 70_000, Opcode.TEXT), 1009),
    ],
)
async def test_who_breaks_the_protocol_is_counted_by_code(
    redis_server: EmbeddedServer, path: str, data: bytes, code: int
) -> None:
    async with serving(make_config(redis_server), ready=False) as at:
        async with peer(at.port, handshake("x", path)) as attacker:
            attacker.writer.write(data)
            while (frame := await attacker.receive())[0] != Opcode.CLOSE:
                pass
            assert int.from_bytes(frame[1][:2]) == code
        assert await disconnects(at, code) == 1


async def test_answers_to_who_reads_none_are_no_more_than_may_wait(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.ticker("1")
    async with (
        serving(make_config(redis_server)) as at,
        peer(at.port, handshake("x", "/v1/stream"), receive_buffer=4096) as attacker,
        client(at) as other,
    ):
        for _ in range(20):
            attacker.send(Opcode.TEXT, ASKING)
        sessions = list(at.inside.hub.sessions)
        await until(lambda: any(session.commands_paused for session in sessions), "a pause")
        held = max(sum(map(len, session.control)) for session in sessions)
        assert CONTROL_MAX_BYTES < held <= CONTROL_MAX_BYTES + ANSWER_BYTES
        # Nobody else waits for it; and once it reads, it gets the rest.
        await other.subscribe(PRICE)
        answers = 0
        while answers < 20:
            opcode, payload = await attacker.receive()
            answers += opcode == Opcode.TEXT and payload.startswith(b'{"op":"subscribed"')
