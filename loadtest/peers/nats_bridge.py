"""Passes ticker updates from Redis on to a NATS server, whose clients subscribe over its own WebSocket listener.

The subject is the Redis channel. The updates of one read from Redis are one write to NATS.
"""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop

from loadtest.peers.redis_updates import RedisSubscriber, Update, arguments


class NatsPublisher(asyncio.Protocol):
    """The connection to the NATS server; ends the process when it is lost."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')

    def data_received(self, data: bytes) -> None:
        if b"PING\r\n" in data:
            self._transport.write(b"PONG\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)

    def publish(self, updates: list[Update]) -> None:
        self._transport.write(
            b"".join(b"PUB %b %d\r\n%b\r\n" % (channel, len(payload), payload) for channel, payload in updates)
        )


async def run() -> None:
    options = arguments(__doc__ or "")
    loop = asyncio.get_running_loop()
    _, nats = await loop.create_connection(NatsPublisher, "127.0.0.1", options.port)
    await loop.create_connection(lambda: RedisSubscriber(nats.publish), "127.0.0.1", options.redis_port)
    await nats.lost


if __name__ == "__main__":
    uvloop.run(run())
