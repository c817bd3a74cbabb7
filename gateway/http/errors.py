"""Failures as HTTP answers: the native shape `{error, code, details?}`, and dialects that shape their own errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route, WebSocketRoute

from gateway.history.query import invalid_symbol
from gateway.history.series_reader import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

    from gateway.history.query import QueryError

    Endpoint = Callable[[Request], Awaitable[Response]]

RETRY_SOON_S = 1.0


class NoDataYet(Exception):
    """The gateway has not received the data yet; it may arrive any moment."""


def error_response(
    code: ErrorCode,
    message: str = "",
    details: Mapping[str, Any] | None = None,
    *,
    status: int | None = None,
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in the native shape. `message`: the code's own where empty. `status`: in place of the code's own, where
    HTTP has a more exact one (404, 405, 413, 426)."""
    body: dict[str, Any] = {"error": message or code.message, "code": code}
    if details:
        body["details"] = details
    http_status = code.http_status if status is None else status
    response = Response(orjson.dumps(body), http_status, headers, media_type="application/json")
    # An error describes this moment; a shared cache must not serve it later.
    response.headers["cache-control"] = "no-store"
    if retry_after_s is not None:
        response.headers["retry-after"] = _retry_after(retry_after_s)
    return response


def query_error(error: QueryError) -> Response:
    """The answer to an invalid query."""
    return error_response(error.code, error.message, error.details)


def store_unavailable(error: StoreUnavailable) -> Response:
    """The answer while the history cannot be read."""
    details = {"reason": error.reason, "since": error.since_ms}
    return error_response(ErrorCode.REDIS_ERROR, details=details, retry_after_s=error.retry_after_s)


def coded_route(path: str, endpoint: Endpoint, method: str) -> Route:
    """A route for one method (GET includes HEAD) that answers OPTIONS, and every expected failure with a code."""
    allow = "GET, HEAD, OPTIONS" if method == "GET" else f"{method}, OPTIONS"

    async def guarded(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": allow})
        try:
            return await endpoint(request)
        except UnknownSymbol as error:
            return query_error(invalid_symbol(error.symbol))
        except StoreUnavailable as error:
            return store_unavailable(error)
        except ClientDisconnect:
            # No client is left to read it, but without an answer the server would log an error of the gateway.
            return error_response(ErrorCode.BAD_REQUEST, "The request ended before its body was complete.")

    return Route(path, guarded, methods=[method, "OPTIONS"], name=path)


_ROUTER_CODES = {code.http_status: code for code in (ErrorCode.NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED)}


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router itself refuses: an unknown path, or a wrong method."""
    assert isinstance(error, HTTPException)
    if error.status_code == ErrorCode.NOT_FOUND.http_status and _has_stream(request):
        message = f"{request.method} {request.url.path[:200]}: this is a WebSocket. Connect to it with ws:// or wss://."
        # RFC 9110, section 15.5.22.
        headers = {"upgrade": "websocket", "connection": "upgrade"}
        return error_response(ErrorCode.BAD_REQUEST, message, status=426, headers=headers)
    otherwise = ErrorCode.BAD_REQUEST if error.status_code < 500 else ErrorCode.INTERNAL
    return error_response(
        _ROUTER_CODES.get(error.status_code, otherwise),
        f"{request.method} {request.url.path[:200]}: {error.detail}",
        status=error.status_code,
        headers=error.headers,
    )


STREAM_PATHS = (
    "/v1/stream",
    "/ws/<stream>",
    "/stream?streams=<stream>/<stream>",
    "/realtime/v1/websocket",
    "/replay/<from>/<speed>x/…",
)


async def _unknown_stream(websocket: WebSocket) -> None:
    """Refuse a handshake whose path has no stream, and say which have one. Without a route the answer would be 403."""
    message = f"WebSocket {websocket.url.path[:200]}: Not Found. Streams are at {', '.join(STREAM_PATHS)}"
    await websocket.send_denial_response(error_response(ErrorCode.NOT_FOUND, message))


UNKNOWN_STREAM = WebSocketRoute("/{path:path}", _unknown_stream)
"""For all paths that no other route has."""


def _has_stream(request: Request) -> bool:
    """Whether a WebSocket at the request's path would reach a stream."""
    scope = {**request.scope, "type": "websocket"}
    streams = (one for one in request.app.routes if isinstance(one, WebSocketRoute) and one is not UNKNOWN_STREAM)
    return any(one.matches(scope)[0] is Match.FULL for one in streams)


async def _internal_error(request: Request, error: Exception) -> Response:
    """A bug of the gateway; the server logs the traceback."""
    return error_response(ErrorCode.INTERNAL)


EXCEPTION_HANDLERS: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: _http_error,
    Exception: _internal_error,
}
"""For the application as a whole."""


def mount_dialect(
    path: str,
    endpoints: Mapping[str, Endpoint],
    shape: Callable[[Request, Exception], Response],
    refusal: type[Exception],
) -> list[BaseRoute]:
    """A dialect under its own path: GET (and HEAD) `endpoints` by name, every error in the dialect's shape.

    `shape` makes the answer to an error: a `refusal`, `UnknownSymbol`, `StoreUnavailable`, `NoDataYet`, Starlette's
    `HTTPException` (unknown path or wrong method), or a bug of the gateway.
    """

    async def failed(request: Request, error: Exception) -> Response:
        response = shape(request, error)
        # An error describes this moment; a shared cache must not serve it later.
        response.headers["cache-control"] = "no-store"
        match error:
            case HTTPException():
                response.headers.update(error.headers or {})
            case StoreUnavailable():
                response.headers["retry-after"] = _retry_after(error.retry_after_s)
            case NoDataYet():
                response.headers["retry-after"] = _retry_after(RETRY_SOON_S)
        return response

    kinds = (refusal, UnknownSymbol, StoreUnavailable, NoDataYet, HTTPException, Exception)
    handlers: dict[Any, Any] = dict.fromkeys(kinds, failed)
    app = Starlette(
        routes=[Route(f"/{name}", endpoint, methods=["GET"]) for name, endpoint in endpoints.items()],
        exception_handlers=handlers,
    )
    # A redirect would be an answer in another shape.
    app.router.redirect_slashes = False
    # `Mount` matches only what is below its path.
    return [Mount(path, app=app), Route(path, endpoint=app)]


def _retry_after(wait_s: float) -> str:
    """Whole seconds (RFC 9110, section 10.2.3), at least 1: a client told 0 would retry in a busy loop."""
    return str(max(1, math.ceil(wait_s)))
