"""A dialect under a path of its own: whatever goes wrong below it, the answer has the dialect's shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from gateway.history.service import UnknownSymbol
from gateway.history.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Endpoint = Callable[[Request], Awaitable[Response]]

STATE = "x-gateway-state"
"""These dialects have no field for it: `stale` when the source of what is served is away."""


class NothingYet(Exception):
    """There is data, or will be, but nothing has been heard of it so far."""


RETRY_SOON_S = 1.0


def mount(
    path: str,
    endpoints: Mapping[str, Endpoint],
    shape: Callable[[Request, Exception], Response],
    refusal: type[Exception],
    headers: Mapping[str, str] | None = None,
) -> list[BaseRoute]:
    """GET (and HEAD) `endpoints` by name. `shape` makes the answer of an error: a `refusal`, `UnknownSymbol`,
    `StoreUnavailable`, `NothingYet`, Starlette's `HTTPException` (no such path or method), or our bug.

    `headers` go on every answer.
    """

    async def failed(request: Request, error: Exception) -> Response:
        response = shape(request, error)
        # An error is of this moment; a shared cache must not serve it to the next one.
        response.headers["cache-control"] = "no-store"
        match error:
            case HTTPException():
                response.headers.update(error.headers or {})
            case StoreUnavailable():
                response.headers["retry-after"] = _whole_seconds(error.retry_after_s)
            case NothingYet():
                response.headers["retry-after"] = _whole_seconds(RETRY_SOON_S)
        return response

    kinds = (refusal, UnknownSymbol, StoreUnavailable, NothingYet, HTTPException, Exception)
    handlers: dict[Any, Any] = dict.fromkeys(kinds, failed)
    app = Starlette(
        routes=[Route(f"/{name}", endpoint, methods=["GET"]) for name, endpoint in endpoints.items()],
        exception_handlers=handlers,
    )
    # A redirect would be one more shape.
    app.router.redirect_slashes = False
    headed = _Headed(app, headers or {})
    # A mount takes what is below its path only.
    return [Mount(path, app=headed), Route(path, endpoint=headed)]


def json_response(body: bytes, status: int = 200) -> Response:
    return Response(body, status, {"cache-control": "no-store"}, media_type="application/json")


def _whole_seconds(wait_s: float) -> str:
    """Never 0: that would invite a busy loop."""
    return str(max(1, math.ceil(wait_s)))


class _Headed:
    """Outermost in the dialect, so that no answer misses its headers."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, send_headed)
