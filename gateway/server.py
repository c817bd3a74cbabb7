"""The listening socket and uvicorn on it: how connections come in, and how they are sent away at the end.

Knows no markets and no sessions; what a client is told is its edge's.
"""

from __future__ import annotations

import gc
import socket
import time
from typing import TYPE_CHECKING

import uvicorn

from gateway.drain import drain
from gateway.wire.socket import ClientSocket, HttpProtocol, handshake_protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette

    from gateway.config import Config, ServerConfig

GC_THRESHOLDS = (20_000, 20, 20)
"""Python's default walks the youngest objects 700 allocations at a time, which is every few messages here."""


class Server(uvicorn.Server):
    """Says when it is ready, and sends its clients away gently."""

    def __init__(self, app: Starlette, config: Callable[[], Config], on_ready: Callable[[], None]) -> None:
        """`config` is asked again at the end: how long that may take can change while the process runs."""
        stream = config().stream
        super().__init__(
            uvicorn.Config(
                app,
                ws=handshake_protocol(
                    max_message_bytes=stream.max_message_bytes,
                    send_buffer_bytes=stream.send_buffer_bytes,
                    unsent_bytes=stream.unsent_bytes,
                ),
                # Keepalive and compression are ours; uvicorn's cost a timer and 64 KB per connection.
                ws_ping_interval=None,
                ws_per_message_deflate=False,
                http=HttpProtocol,
                lifespan="off",
                backlog=config().server.backlog,
                access_log=False,
                log_config=None,
                server_header=False,
            )
        )
        self._settings = config
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there now stays: the collector need not walk it again, and what comes makes few cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        most_s, began_s = self._settings().server.shutdown_s, time.monotonic()
        for server in self.servers:
            server.close()
        guests = []
        for connection in list(self.server_state.connections):
            if isinstance(connection, ClientSocket):
                guests.append(connection)
            elif isinstance(connection, HttpProtocol):
                # Answers what it has begun, and takes nothing new.
                connection.shutdown()
        await drain(guests, most_s / 2, lambda: self.force_exit)
        self.config.timeout_graceful_shutdown = max(1, round(most_s - (time.monotonic() - began_s)))
        await super().shutdown(sockets)


def bind(config: ServerConfig) -> socket.socket:
    """The socket, not listening yet. Raises `OSError` with the address in its text."""
    host, port = config.host, config.port
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if config.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sock
