"""Errors as HTTP answers: `{error, code, details?}`, each code with its status. Other dialects shape their own."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.history.query import invalid_symbol
from gateway.history.service import UnknownSymbol
from gateway.history.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.history.query import QueryError


class Code(StrEnum):
    INVALID_SYMBOL = "INVALID_SYMBOL"
    INVALID_INTERVAL = "INVALID_INTERVAL"
    BAD_REQUEST = "BAD_REQUEST"
    RATE_LIMIT = "RATE_LIMIT"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    OVERLOADED = "OVERLOADED"
    REDIS_ERROR = "REDIS_ERROR"
    INTERNAL = "INTERNAL"


STATUS: dict[Code, int] = {
    Code.INVALID_SYMBOL: 400,
    Code.INVALID_INTERVAL: 400,
    Code.BAD_REQUEST: 400,
    Code.RATE_LIMIT: 429,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.OVERLOADED: 503,
    Code.REDIS_ERROR: 503,
    Code.INTERNAL: 500,
}


def error_response(
    code: Code,
    message: str,
    details: Mapping[str, Any] | None = None,
    *,
    status: int | None = None,
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`status` overrides the code's own, where HTTP has a more telling one (404, 405, 413)."""
    body: dict[str, Any] = {"error": message, "code": code}
    if details:
        body["details"] = details
    response = Response(
        orjson.dumps(body), STATUS[code] if status is None else status, headers, media_type="application/json"
    )
    # An error is of this moment; a shared cache must not serve it to the next one.
    response.headers["cache-control"] = "no-store"
    if retry_after_s is not None:
        # Whole seconds, and never 0: that would invite a busy loop.
        response.headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    return response


def refused(error: QueryError) -> Response:
    return error_response(Code(error.code), error.message, error.details)


def store_unavailable(error: StoreUnavailable) -> Response:
    return error_response(
        Code.REDIS_ERROR,
        "history is out of reach just now; try again",
        {"reason": error.reason, "since": error.since_ms},
        retry_after_s=error.retry_after_s,
    )


def coded_route(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> Route:
    """A route for one method (GET brings HEAD along) that tells its methods when asked and answers every failure that
    is not our bug with a code."""
    allow = "GET, HEAD, OPTIONS" if method == "GET" else f"{method}, OPTIONS"

    async def guarded(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": allow})
        try:
            return await endpoint(request)
        except UnknownSymbol as error:
            return refused(invalid_symbol(error.symbol))
        except StoreUnavailable as error:
            return store_unavailable(error)
        except ClientDisconnect:
            # Nobody is left to read it; without an answer the server would log a failure of ours.
            return error_response(Code.BAD_REQUEST, "the request ended early")

    return Route(path, guarded, methods=[method, "OPTIONS"], name=path)


async def http_error(request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    return error_response(
        Code.BAD_REQUEST if error.status_code < 500 else Code.INTERNAL,
        f"{request.method} {request.url.path[:200]}: {error.detail}",
        status=error.status_code,
        headers=error.headers,
    )


async def our_bug(request: Request, error: Exception) -> Response:
    """The last resort; the server logs the traceback."""
    return error_response(Code.INTERNAL, "an error inside the gateway")


EXCEPTION_HANDLERS: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: http_error,
    Exception: our_bug,
}
"""For the application as a whole."""
