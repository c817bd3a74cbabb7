"""For those who run it: `/healthz` (alive), `/readyz` (serving fresh data, or why not), `/metrics`; the documents.

Details are for those who run it only, where that is configured: behind a token, or at an address of their own.
"""

from __future__ import annotations

import hmac
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway import __version__
from gateway.http.errors import Code, error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from gateway.ops.metrics import Metrics

    Endpoint = Callable[[Request], Awaitable[Response]]

NO_STORE = {"cache-control": "no-store"}


def routes(
    reasons: Callable[[], list[str]], details: Callable[[], Mapping[str, object]], metrics: Metrics, token: str = ""
) -> list[Route]:
    """All of it. `reasons`: why the gateway is not ready; none when it is. `details`: what else is told of it.
    `token`: what a request has to bear."""

    async def readyz(request: Request) -> Response:
        why = reasons()
        return _readiness(why, {"reasons": why, **details()} if bears(request, token) else {})

    async def scrape(_: Request) -> Response:
        return Response(metrics.render(), headers=NO_STORE, media_type="text/plain; version=0.0.4")

    return [Route("/healthz", _healthz), Route("/readyz", readyz), Route("/metrics", guarded(scrape, token))]


def public_routes(reasons: Callable[[], list[str]]) -> list[Route]:
    """What is left for everybody where the rest is served elsewhere: enough for a load balancer."""

    async def readyz(_: Request) -> Response:
        return _readiness(reasons(), {})

    return [Route("/healthz", _healthz), Route("/readyz", readyz)]


def document_routes() -> list[Route]:
    asyncapi = files("gateway.http").joinpath("asyncapi.json").read_bytes()

    async def document(_: Request) -> Response:
        return Response(asyncapi, media_type="application/json")

    return [Route("/v1/asyncapi.json", document)]


def guarded(endpoint: Endpoint, token: str) -> Endpoint:
    """An endpoint for those who bear the token, where there is one."""

    async def answer(request: Request) -> Response:
        if not bears(request, token):
            return error_response(Code.UNAUTHORIZED, "a token is needed", headers={"www-authenticate": "Bearer"})
        return await endpoint(request)

    return answer


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__}, headers=NO_STORE)


def _readiness(why: list[str], details: Mapping[str, object]) -> Response:
    return JSONResponse({"ready": not why, **details}, 503 if why else 200, headers=NO_STORE)


def bears(request: Request, token: str) -> bool:
    """Whether it shows the token; any does where there is none."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Compared in constant time, as bytes: text outside of ASCII is not refused by an exception.
    right = hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
    return not token or (scheme.lower() == "bearer" and right)
