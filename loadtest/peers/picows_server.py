"""A hand-written fan-out server on picows and uvloop: each update goes to each client of its symbol, one message each.

What a team writes that needs nothing else: no snapshot, no conflation, no limit for clients that read too slowly.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import defaultdict

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from loadtest.peers.redis_updates import RedisSubscriber, Update, arguments

SUBSCRIBED = b'{"op":"subscribed","channels":{}}'


class Clients:
    """Channel -> the connections of those who follow it."""

    def __init__(self) -> None:
        self.followers: defaultdict[bytes, set[WSTransport]] = defaultdict(set)

    def publish(self, updates: list[Update]) -> None:
        followers, text = self.followers, WSMsgType.TEXT
        for channel, payload in updates:
            for transport in followers.get(channel, ()):
                transport.send(text, payload)


class Connection(WSListener):
    """One client: takes `{"op":"subscribe","channels":[…]}`."""

    def __init__(self, clients: Clients) -> None:
        super().__init__()
        self._clients = clients

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            for channel in json.loads(frame.get_payload_as_bytes())["channels"]:
                self._clients.followers[channel.encode()].add(transport)
            transport.send(WSMsgType.TEXT, SUBSCRIBED)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for followers in self._clients.followers.values():
            followers.discard(transport)


async def serve() -> None:
    options = arguments(__doc__ or "")
    clients = Clients()

    def connection(_: WSUpgradeRequest) -> Connection:
        return Connection(clients)

    context = None
    if options.chain:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.chain, options.key)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: RedisSubscriber(clients.publish), "127.0.0.1", options.redis_port)
    server = await ws_create_server(connection, "127.0.0.1", options.port, ssl=context, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
