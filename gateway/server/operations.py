"""Serves the operations routes at an address of their own, so that a firewall can keep the public from them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette

from gateway.http.errors import EXCEPTION_HANDLERS

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.routing import Route

STOP_S = 1


async def serve_operations(sock: socket.socket, routes: list[Route]) -> None:
    """Serve until cancelled."""
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
    server = _Server(
        uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=STOP_S,
        )
    )
    try:
        await server.serve(sockets=[sock])
    except asyncio.CancelledError:
        await server.shutdown(sockets=[sock])
        raise


class _Server(uvicorn.Server):
    """Leaves the process's signals to the public server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
