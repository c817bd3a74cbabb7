from __future__ import annotations

import zlib
from typing import Any

import pytest

from gateway.protocol.frame import FrameError, FrameParser
from loadtest.attack.attacks import ATTACKS
from loadtest.scenario import load

MAX_BYTES = 8192


class RecordingConnection:
    """A connection that writes down what is sent on it."""

    def __init__(self) -> None:
        self.data = b""

    def send(self, data: bytes) -> None:
        self.data += data

    async def flood(self, data: bytes, per_s: float) -> None:
        self.data += data


async def sent_by(kind: str) -> bytes:
    connection: Any = RecordingConnection()
    await ATTACKS[kind].script(connection, [f"S{n:03d}USDT" for n in range(300)])
    return bytes(connection.data)


@pytest.mark.parametrize(
    "kind", ["fragments", "bomb", "broken_deflate", "oversize", "reserved_bits", "unmasked", "not_utf8"]
)
async def test_an_invalid_message_ends_with_the_expected_code(kind: str) -> None:
    attack = ATTACKS[kind]
    parser = FrameParser(MAX_BYTES, deflate=bool(attack.handshake))
    parser.feed(await sent_by(kind))
    with pytest.raises(FrameError) as caught:
        list(iter(parser.next_message, None))
    assert attack.expected == f"closed {caught.value.close.code}"


async def test_a_bomb_is_small_until_it_is_decompressed() -> None:
    data = await sent_by("bomb")
    assert len(data) < MAX_BYTES
    assert len(zlib.decompressobj(wbits=-15).decompress(data[8:])) > 100 * MAX_BYTES


@pytest.mark.parametrize("kind", ["churn", "slow_reader", "command_flood"])
async def test_a_flood_consists_of_valid_commands(kind: str) -> None:
    parser = FrameParser(MAX_BYTES)
    parser.feed(await sent_by(kind))
    messages = list(iter(parser.next_message, None))
    assert messages
    assert all(message.payload.startswith(b'{"op":"') for message in messages)
    assert not parser.has_more


def test_the_hostile_run_has_five_hundred_of_every_kind() -> None:
    scenario = load("hostile")
    assert scenario.attackers.keys() == ATTACKS.keys()
    assert sum(scenario.attackers.values()) == 500
    assert scenario.clients.count == 200
