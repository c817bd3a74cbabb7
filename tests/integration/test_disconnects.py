"""Clients that vanish at a random point of their connection's life leave nothing behind. Real sockets, a real store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from websockets.frames import Opcode

from collector.encode import kline_member
from loadtest.protocol.websocket import client_frame, handshake
from simulator.server import EmbeddedServer
from tests.builders import closed_klines
from tests.integration.live import make_config, serving, until
from tests.integration.raw import peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.live import Serving

SYMBOLS = [f"S{number:02}USDT" for number in range(20)]
INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h")
CHANNELS = [f"kline:{symbol}:{interval}" for symbol in SYMBOLS for interval in INTERVALS]
CLIENTS = 20


@pytest.fixture(scope="module")
def stored() -> Iterator[EmbeddedServer]:
    async def fill(server: EmbeddedServer) -> None:
        async with Redis.from_url(server.url) as redis, redis.pipeline(transaction=False) as pipeline:
            for symbol in SYMBOLS:
                for interval in INTERVALS:
                    klines = closed_klines(range(-200, 0), interval=interval)
                    members = {kline_member(symbol, interval, kline): kline.close_time_ms for kline in klines}
                    pipeline.zadd(f"klines:{symbol}:{interval}", members)
            await pipeline.execute()

    with EmbeddedServer() as server:
        asyncio.run(fill(server))
        yield server


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def live_and_die(port: int, draw: random.Random) -> None:
    """One client: some commands, read or not, then an end of some kind at a random moment."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, draw.choice((4096, 262144)))
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    try:
        request = handshake("x", draw.choice(("/v1/stream", "/ws")))
        await loop.sock_sendall(sock, request[: draw.choice((len(request), len(request), 20))])
        for _ in range(draw.randrange(6)):
            await loop.sock_sendall(sock, draw.choice(ACTIONS)(draw))
            await asyncio.sleep(draw.choice((0, 0.005, 0.05)))
            if draw.random() < 0.3:
                with contextlib.suppress(BlockingIOError):
                    sock.recv(65536)
        await asyncio.sleep(draw.uniform(0, 0.2))
        match draw.randrange(3):
            case 0:
                # RST: the close discards what is unsent.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case 1:
                sock.shutdown(socket.SHUT_WR)
                await asyncio.sleep(draw.uniform(0, 0.1))
    except (ConnectionError, OSError):
        # The gateway was faster.
        pass
    finally:
        sock.close()


def _command(**fields: object) -> bytes:
    return client_frame(json.dumps(fields).encode(), Opcode.TEXT)


ACTIONS: list[Callable[[random.Random], bytes]] = [
    lambda draw: _command(op="subscribe", channels=draw.sample(CHANNELS, 100), history=200, id=1),
    lambda draw: _command(op="subscribe", channels=draw.sample(CHANNELS, 30), resume={CHANNELS[0]: 0}),
    lambda draw: _command(op="unsubscribe", channels=draw.sample(CHANNELS, 50)),
    lambda draw: _command(op="list", id="x"),
    lambda draw: _command(method="SUBSCRIBE", params=["s00usdt@kline_1m", "s01usdt@ticker"], id=1),
    lambda draw: client_frame(b"", Opcode.PING),
    lambda draw: client_frame(b"\x03\xe8", Opcode.CLOSE),
    lambda draw: client_frame(b"{", Opcode.TEXT),
    lambda draw: client_frame(b"half", Opcode.TEXT)[:5],
    lambda draw: b"\xff\xff\xff\xff",
]


def nothing_left(at: Serving) -> bool:
    gateway = at.inside
    return not gateway.hub.sessions and gateway.admission.control.connections == 0 and gateway.counters.connections == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.varied
async def test_random_disconnects_leave_nothing_behind(stored: EmbeddedServer, seed: int) -> None:
    draw = random.Random(seed)
    config = make_config(stored, market={"intervals": INTERVALS}, history={"cache_symbols": 1})
    async with serving(config, ready=False) as at:
        await until(lambda: len(at.inside.market.symbols()) == len(SYMBOLS), "the symbols")
        await asyncio.gather(*(live_and_die(at.port, random.Random(draw.random())) for _ in range(2)))
        before = descriptors()
        for _ in range(3):
            await asyncio.gather(*(live_and_die(at.port, random.Random(draw.random())) for _ in range(CLIENTS)))
        await until(lambda: nothing_left(at), "the end of all connections")
        await until(lambda: descriptors() <= before + 10, "the end of all descriptors")
        assert sum(at.inside.hub.channels[n].subscribers for n in range(len(at.inside.hub.channels))) == 0


async def test_clients_that_reset_while_history_is_read_are_removed(stored: EmbeddedServer) -> None:
    config = make_config(stored, market={"intervals": INTERVALS}, history={"cache_symbols": 1})
    async with serving(config, ready=False) as at:
        await until(lambda: len(at.inside.market.symbols()) == len(SYMBOLS), "the symbols")

        async def reset_soon(delay_s: float) -> None:
            async with peer(at.port, handshake("x", "/v1/stream")) as client:
                client.command(op="subscribe", channels=CHANNELS, history=200)
                await asyncio.sleep(delay_s)
                linger = struct.pack("ii", 1, 0)
                client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        await asyncio.gather(*(reset_soon(0.02 + 0.009 * number) for number in range(CLIENTS)))
        await until(lambda: nothing_left(at), "the end of all connections")
        began_s = time.monotonic()
    # The block's end is a SIGTERM's: nobody is waited for.
    assert time.monotonic() - began_s < at.inside.config.server.shutdown_s


async def test_tcp_ends_when_the_client_has_answered_the_close(redis_server: EmbeddedServer) -> None:
    async with (
        serving(make_config(redis_server), ready=False) as at,
        peer(at.port, handshake("x", "/v1/stream")) as client,
    ):
        (session,) = at.inside.hub.sessions
        session.sink.shutdown()
        while (frame := await client.receive())[0] != Opcode.CLOSE:
            pass
        began_s = time.monotonic()
        client.send(Opcode.CLOSE, frame[1])
        assert await client.reader.read() == b""
        assert time.monotonic() - began_s < 1.0, "without an answer it is two seconds"


@pytest.mark.parametrize(
    ("path", "command", "id_of"),
    [
        ("/v1/stream", {"op": "list", "id": 7}, lambda reply: reply.get("id")),
        ("/ws", {"method": "LIST_SUBSCRIPTIONS", "id": 7}, lambda reply: reply.get("id")),
    ],
    ids=["native", "binance"],
)
async def test_a_reply_about_the_rate_limit_has_the_id_of_its_command(
    redis_server: EmbeddedServer, path: str, command: dict[str, object], id_of: Callable[[dict[str, object]], object]
) -> None:
    config = make_config(redis_server, limits={"messages_burst": 5, "messages_per_s": 0.01})
    async with serving(config, ready=False) as at, peer(at.port, handshake("x", path)) as client:
        for number in range(8):
            client.command(**{**command, "id": number})
        replies: list[dict[str, object]] = []
        while len(replies) < 8:
            reply = json.loads((await client.receive())[1])
            if reply.get("op") != "hello":
                replies.append(reply)
        assert [id_of(reply) for reply in replies] == list(range(8))
        assert sum("error" in reply or reply.get("op") == "error" for reply in replies) == 3
