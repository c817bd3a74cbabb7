"""Clients behind a proxy, which is the kernel here: it takes whatever is written, and only pongs show what is read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.server.client_socket import LATE_BYTES
from loadtest.protocol.websocket import PING, PONG, handshake
from tests.fakes import Folder, parsed
from tests.integration.live import WAIT_S, make_config, serving, until
from tests.integration.raw import Peer, peer
from tests.integration.test_slow_client import PRICES, SYMBOLS, feeding, newest

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher

PROXIED = handshake("x", "/v1/stream", headers=["X-Forwarded-For: 192.0.2.1"])
BARS = 300
CHARTS = SYMBOLS[:12]


async def read(someone: Peer, folder: Folder, enough: Callable[[], bool]) -> None:
    """Read and answer pings until it is enough."""
    while not enough():
        async with asyncio.timeout(WAIT_S):
            opcode, payload = await someone.receive()
        if opcode == PING:
            someone.send(PONG, payload)
        else:
            folder.hear(parsed(payload))


async def test_a_client_whose_pong_is_late_is_written_nothing_and_stays(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    for symbol in SYMBOLS:
        await publisher.ticker("0.5", symbol)
    async with (
        serving(make_config(redis_server, stream={"slow_abort_s": 0.1})) as gateway,
        peer(gateway.port, PROXIED, receive_buffer=1 << 20) as client,
    ):
        folder = Folder()
        client.command(op="subscribe", channels=PRICES, id=1)
        await read(client, folder, lambda: len(folder.views) == len(PRICES))
        (session,) = gateway.inside.hub.sessions
        async with feeding(publisher) as feed:
            await until(
                lambda: session.cohort is None and session.sink.unsent_bytes() >= LATE_BYTES, "the end of the pongs"
            )
            written, missed = gateway.inside.counters.bytes_out, gateway.inside.counters.missed["kernel_full"]
            # Long enough for the end of a client that takes nothing.
            await until(lambda: gateway.inside.counters.missed["kernel_full"] > missed + 3, "flushes without it")
            assert gateway.inside.counters.bytes_out == written
        await read(client, folder, lambda: newest(folder) == {str(feed.price)})
        assert gateway.inside.hub.sessions == {session}


async def test_snapshots_wait_for_pongs(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    for symbol in CHARTS:
        for number in range(BARS):
            await publisher.closed(number, symbol=symbol, reported=False)
    async with (
        serving(make_config(redis_server)) as gateway,
        peer(gateway.port, PROXIED, receive_buffer=1 << 20) as client,
    ):
        folder = Folder()
        # The ping is the first frame, so that it is answered at once.
        opcode, payload = await client.receive()
        assert opcode == PING
        client.send(PONG, payload)
        (session,) = gateway.inside.hub.sessions
        client.command(op="subscribe", channels=[f"kline:{symbol}:1m" for symbol in CHARTS], history=BARS, id=1)
        await until(session.sink.busy, "a full window")
        # The kernel would have taken all of them.
        assert len(session.snapshots_due) > len(CHARTS) // 2
        await read(
            client, folder, lambda: len(folder.views) == len(CHARTS) and all(v.live for v in folder.views.values())
        )
        assert {len(view.closed) for view in folder.views.values()} == {BARS}
