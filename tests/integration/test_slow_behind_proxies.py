"""Slow clients behind a real nginx, HAProxy and Caddy: the proxy does not hide them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.server.client_socket import LATE_BYTES
from loadtest.behind_proxies.held import held_bytes
from loadtest.behind_proxies.proxy import KINDS, proxied
from loadtest.protocol.websocket import PING, PONG, TEXT, handshake
from tests.fakes import Folder, parsed
from tests.integration.live import WAIT_S, make_config, serving, until
from tests.integration.raw import Peer
from tests.integration.test_slow_client import PRICES, SYMBOLS, feeding, newest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.behind_proxies.proxy import Proxy
    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher

READERS = 20
HELD_MAX_BYTES = 256 * 1024
MISSED = 50
"""Prices of each symbol that are published while nobody reads."""

pytestmark = pytest.mark.proxies


class Reader:
    """A client that reads on command, answers pings then, and notes the prices of one symbol."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.folder = Folder()
        self.prices: list[int] = []
        self.answered = 0

    async def read(self) -> None:
        """One frame."""
        async with asyncio.timeout(WAIT_S):
            opcode, payload = await self.peer.receive()
        if opcode == PING:
            self.peer.send(PONG, payload)
            self.answered += 1
        elif opcode == TEXT:
            self.folder.hear(parsed(payload))
            ticker = self.folder.views[PRICES[0]].ticker if PRICES[0] in self.folder.views else None
            if ticker is not None:
                self.prices.append(int(float(ticker["c"])))

    async def until_newest(self, price: int) -> None:
        """Read until it holds this price of every symbol."""
        while newest(self.folder) != {str(price)}:
            await self.read()


@asynccontextmanager
async def reader(proxy: Proxy) -> AsyncIterator[Reader]:
    """A client behind the proxy that has subscribed and answered a ping."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", proxy.port))
    streams = await asyncio.open_connection(sock=sock, ssl=proxy.trust, server_hostname="localhost", limit=1024)
    found = Reader(Peer(*streams))
    try:
        found.peer.writer.write(handshake("localhost", "/v1/stream"))
        assert (await found.peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        found.peer.command(op="subscribe", channels=PRICES, id=1)
        while not found.answered or len(found.folder.views) < len(PRICES):
            await found.read()
        yield found
    finally:
        found.peer.writer.transport.abort()


@pytest.mark.varied
@pytest.mark.parametrize("name", KINDS)
async def test_what_is_published_while_clients_do_not_read_does_not_wait_in_the_proxy(
    redis_server: EmbeddedServer, publisher: Publisher, tmp_path: Path, name: str
) -> None:
    for symbol in SYMBOLS:
        await publisher.ticker("0.5", symbol)
    config = make_config(
        redis_server,
        access={"trusted_proxies": ("127.0.0.1/32",)},
        limits={"exempt": ("127.0.0.0/8",)},
        stream={"slow_abort_s": 600.0},
    )
    async with serving(config) as gateway, AsyncExitStack() as clients:
        stack = clients.enter_context(ExitStack())
        proxy = stack.enter_context(proxied(name, tmp_path, gateway.port))
        await until(proxy.listens, f"{name} on its port")
        readers = [await clients.enter_async_context(reader(proxy)) for _ in range(READERS)]
        sessions = list(gateway.inside.hub.sessions)
        async with feeding(publisher) as feed:
            # From here on nobody reads. None of them is written to any more once that shows.
            await until(
                lambda: all(
                    session.cohort is None and session.sink.unsent_bytes() >= LATE_BYTES for session in sessions
                ),
                "the end of the pongs",
            )
            written, stalled = gateway.inside.counters.bytes_out, feed.price
            await until(lambda: feed.price > stalled + MISSED, "more prices")
            assert gateway.inside.counters.bytes_out == written
            missed = feed.price
        await asyncio.gather(*(each.until_newest(feed.price) for each in readers))
        for each in readers:
            assert not [price for price in each.prices if stalled < price < missed]


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_the_buffers_of_a_proxy_are_small(tmp_path: Path, name: str) -> None:
    # Without the settings it is megabytes. Caddy has none, see `deploy/README.md`.
    assert held_bytes(name, tmp_path) < HELD_MAX_BYTES
