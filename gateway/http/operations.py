"""Routes for operators: `/healthz` (alive), `/readyz` (serves fresh data) and `/metrics`.

Details are for operators only if that is configured: with a token, or at an address of their own.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway import __version__
from gateway.http.errors import error_response
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from gateway.config import Config
    from gateway.ops.metrics import Metrics

    Endpoint = Callable[[Request], Awaitable[Response]]

NO_STORE = {"cache-control": "no-store"}


def routes(
    reasons: Callable[[], list[str]],
    details: Callable[[], Mapping[str, object]],
    metrics: Metrics,
    token: str | None = "",
) -> list[Route]:
    """All routes of one process.

    `reasons`: returns why the gateway is not ready, empty if it is. `details`: returns what `/readyz` adds for
    operators. `token`: what requests must present; "": nothing, `None`: closed to all.
    """

    async def readyz(request: Request) -> Response:
        why = reasons()
        return _readiness(why, {"reasons": why, **details()} if has_token(request, token) else {})

    async def scrape(_: Request) -> Response:
        return Response(metrics.render(), headers=NO_STORE, media_type="text/plain; version=0.0.4")

    return [Route("/healthz", _healthz), Route("/readyz", readyz), Route("/metrics", guarded(scrape, token))]


def public_routes(reasons: Callable[[], list[str]]) -> list[Route]:
    """What a load balancer needs, for a gateway that serves the other routes at operations.address."""

    async def readyz(_: Request) -> Response:
        return _readiness(reasons(), {})

    return [Route("/healthz", _healthz), Route("/readyz", readyz)]


def guarded(endpoint: Endpoint, token: str | None) -> Endpoint:
    """The endpoint, which answers 401 to requests without the token if there is one."""

    async def answer(request: Request) -> Response:
        if not has_token(request, token):
            return error_response(ErrorCode.UNAUTHORIZED, "a token is needed", headers={"www-authenticate": "Bearer"})
        return await endpoint(request)

    return answer


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__}, headers=NO_STORE)


def _readiness(reasons: list[str], details: Mapping[str, object]) -> Response:
    return JSONResponse({"ready": not reasons, **details}, 503 if reasons else 200, headers=NO_STORE)


def operations_token(config: Config) -> str | None:
    """What operators present; "": nothing. Where clients need tokens, the public address is closed without one."""
    is_public = not config.operations.address
    return config.operations.token or (None if config.tokens.required and is_public else "")


def has_token(request: Request, token: str | None) -> bool:
    """Whether the request presents the token as a bearer token. "": everybody may; `None`: nobody may."""
    if token is None:
        return False
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Compared in constant time, and as bytes: `compare_digest` raises for text outside of ASCII.
    matches = hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
    return not token or (scheme.lower() == "bearer" and matches)
