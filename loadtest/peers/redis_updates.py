"""Ticker updates from Redis pub/sub, for all peers alike: hiredis parses, and nothing is decoded."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, cast

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable

SUBSCRIBE = b"*2\r\n$10\r\nPSUBSCRIBE\r\n$8\r\nticker:*\r\n"

Update = tuple[bytes, bytes]
"""Channel and payload."""


class UpdateParser:
    """Bytes of a connection in pub/sub mode to updates."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()

    def feed(self, data: bytes) -> list[Update]:
        """The updates that are complete with these bytes."""
        reader = self._reader
        reader.feed(data)
        updates = []
        while (message := reader.gets()) is not False:
            if message[0] == b"pmessage":
                updates.append((message[2], message[3]))
        return updates


class RedisSubscriber(asyncio.Protocol):
    """Subscribes to all tickers and gives the updates of each read to `on_updates`."""

    def __init__(self, on_updates: Callable[[list[Update]], None]) -> None:
        self._on_updates, self._parser = on_updates, UpdateParser()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.WriteTransport", transport).write(SUBSCRIBE)

    def data_received(self, data: bytes) -> None:
        self._on_updates(self._parser.feed(data))


def arguments(description: str) -> argparse.Namespace:
    """Ports, and files for TLS, from the command line. All is on 127.0.0.1."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--port", type=int, required=True, help="to listen on, or of the server to write to")
    parser.add_argument("--chain", default="", help="certificate chain in PEM; clients then connect by TLS")
    parser.add_argument("--key", default="", help="key in PEM")
    return parser.parse_args()
