"""uvicorn on the listening socket: how connections are accepted, and how they are closed at shutdown.

Must not know markets or sessions; the receiver of a socket writes what its client is told.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.server.client_socket import ClientSocket
from gateway.server.handshake import handshake_protocol
from gateway.server.http_protocol import http_protocol
from gateway.server.shutdown import close_clients
from gateway.server.tls import encrypted, tls_context

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.applications import Starlette

    from gateway.config import Config
    from gateway.http.at_once import AtOnce
    from gateway.server.http_protocol import Turns

GC_THRESHOLDS = (20_000, 20, 20)
"""Python's default scans the youngest objects every 700 allocations, which is every few messages here."""

LIVE_WAIT_S = 10.0
"""Longest time that a process with a shared port waits for its feed: without the source all are equally stale."""

LIVE_CHECK_S = 0.02


class Server(uvicorn.Server):
    """Calls `on_ready` once it listens, and closes its clients gradually at shutdown."""

    def __init__(
        self,
        app: Starlette,
        config: Callable[[], Config],
        on_ready: Callable[[], None],
        turns: Turns | None = None,
        at_once: AtOnce | None = None,
    ) -> None:
        """`config` is called again at shutdown, because `server.shutdown_s` can change while the process runs.

        `turns`: when requests are decoded. `at_once`: answers some of them without the application.
        """
        stream, server, dialects = config().stream, config().server, config().dialects
        http = http_protocol(
            head_max_bytes=server.head_max_bytes,
            stream_head_max_bytes=dialects.binance_head_bytes,
            head_s=server.head_s,
            exchange_s=server.exchange_s,
            send_buffer_bytes=stream.send_buffer_bytes,
            unsent_bytes=stream.unsent_bytes,
            turns=turns,
            at_once=at_once,
        )
        context = tls_context(server.tls_certificate, server.tls_key) if server.tls_certificate else None
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
                http=http if context is None else encrypted(context, http),
                lifespan="off",
                backlog=server.backlog,
                access_log=False,
                log_config=None,
                server_header=False,
                # access.trusted_proxies says whose headers are used; uvicorn would use those of all local proxies.
                proxy_headers=False,
            )
        )
        self._settings = config
        self._on_ready = on_ready

    async def serve_once(self, is_live: Callable[[], bool] | None, sock: socket.socket) -> None:
        """Listen and serve until a signal or `should_exit` ends it; with `is_live`, wait for that first.

        A process that listens gets a share of the port's new clients.
        """
        for _ in range(round(LIVE_WAIT_S / LIVE_CHECK_S)):
            if is_live is None or is_live() or self.should_exit:
                break
            await asyncio.sleep(LIVE_CHECK_S)
        await self.serve(sockets=[sock])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then call `on_ready`."""
        await super().startup(sockets)
        # Objects that exist now stay: the garbage collector need not scan them again. Later ones form few cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, close the clients over at most half of `server.shutdown_s`, then end the requests."""
        most_s, began_s = self._settings().server.shutdown_s, time.monotonic()
        for server in self.servers:
            server.close()
        clients = []
        for connection in list(self.server_state.connections):
            if isinstance(connection, ClientSocket):
                clients.append(connection)
            elif isinstance(connection, HttpToolsProtocol):
                # Finishes its current request and accepts no other.
                connection.shutdown()
        await close_clients(clients, most_s / 2, lambda: self.force_exit)
        self.config.timeout_graceful_shutdown = max(1, round(most_s - (time.monotonic() - began_s)))
        await super().shutdown(sockets)
