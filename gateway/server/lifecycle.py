"""uvicorn on the listening socket: how connections come in, and how they are sent away at the end.

Knows no markets and no sessions; what a client is told is its edge's.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.server.client_socket import ClientSocket
from gateway.server.handshake import handshake_protocol, http_protocol
from gateway.server.shutdown import drain

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.applications import Starlette

    from gateway.config import Config

GC_THRESHOLDS = (20_000, 20, 20)
"""Python's default walks the youngest objects 700 allocations at a time, which is every few messages here."""

LIVE_WAIT_S = 10.0
"""Longest a process that shares its port waits for its feed: when the source is away, all are equally stale."""

LIVE_STEP_S = 0.02


class Server(uvicorn.Server):
    """Says when it is ready, and sends its clients away gently."""

    def __init__(self, app: Starlette, config: Callable[[], Config], on_ready: Callable[[], None]) -> None:
        """`config` is asked again at the end: how long that may take can change while the process runs."""
        stream, server = config().stream, config().server
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
                http=http_protocol(
                    head_max_bytes=server.head_max_bytes, head_s=server.head_s, exchange_s=server.exchange_s
                ),
                lifespan="off",
                backlog=server.backlog,
                access_log=False,
                log_config=None,
                server_header=False,
                # Whom to believe about addresses is configured (access.trusted_proxies), and not "everybody at home".
                proxy_headers=False,
                ssl_certfile=server.tls_certificate or None,
                ssl_keyfile=server.tls_key or None,
            )
        )
        self._settings = config
        self._on_ready = on_ready

    async def serve_once(self, live: Callable[[], bool], sock: socket.socket) -> None:
        """Listen when it is live: from then on a share of the port's new clients is this process's."""
        for _ in range(round(LIVE_WAIT_S / LIVE_STEP_S)):
            if live():
                break
            await asyncio.sleep(LIVE_STEP_S)
        await self.serve(sockets=[sock])

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
            elif isinstance(connection, HttpToolsProtocol):
                # Answers what it has begun, and takes nothing new.
                connection.shutdown()
        await drain(guests, most_s / 2, lambda: self.force_exit)
        self.config.timeout_graceful_shutdown = max(1, round(most_s - (time.monotonic() - began_s)))
        await super().shutdown(sockets)
