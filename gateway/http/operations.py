"""Routes for operators: `/healthz` (alive), `/readyz` (should get clients), `/v1/health/data` (fresh data), `/metrics`.

Details are for operators only if that is configured: with a token, or at an address of their own.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Protocol

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway import __version__
from gateway.http.errors import error_response
from gateway.http.shared import Shared
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from gateway.config import Config
    from gateway.ops.metrics import Metrics

    Endpoint = Callable[[Request], Awaitable[Response]]

NO_STORE = {"cache-control": "no-store"}


class HealthReport(Protocol):
    """What the probes ask of a process."""

    def not_ready_reasons(self) -> list[str]:
        """Why it should get no new clients; empty if it should."""

    def stale_reasons(self) -> list[str]:
        """Why the market data is not fresh; empty if it is."""

    def details(self) -> Mapping[str, object]:
        """What `/readyz` adds for operators."""

    def data_details(self) -> Mapping[str, object]:
        """What `/v1/health/data` adds for operators."""


def routes(health: HealthReport, metrics: Metrics, token: str | None = "") -> list[Route]:
    """All routes of one process. `token`: what requests must present for details; "": nothing, `None`: nobody may."""

    async def render() -> bytes:
        return metrics.render()

    shared = Shared(render)

    async def scrape(_: Request) -> Response:
        return Response(await shared.get(), headers=NO_STORE, media_type="text/plain; version=0.0.4")

    return [*probes(health, token), Route("/metrics", guarded(scrape, token))]


def probes(health: HealthReport, token: str | None) -> list[Route]:
    """What load balancers and monitoring ask: 200 or 503, with details for those who present the token."""

    async def readyz(request: Request) -> Response:
        why = health.not_ready_reasons()
        return probe_answer("ready", why, {"reasons": why, **health.details()} if has_token(request, token) else {})

    async def data(request: Request) -> Response:
        why = health.stale_reasons()
        return probe_answer(
            "fresh", why, {"reasons": why, **health.data_details()} if has_token(request, token) else {}
        )

    return [Route("/healthz", _healthz), Route("/readyz", readyz), Route("/v1/health/data", data)]


def guarded(endpoint: Endpoint, token: str | None) -> Endpoint:
    """The endpoint, which answers 401 to requests without the token if there is one."""

    async def answer(request: Request) -> Response:
        if not has_token(request, token):
            return error_response(ErrorCode.UNAUTHORIZED, "a token is needed", headers={"www-authenticate": "Bearer"})
        return await endpoint(request)

    return answer


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__}, headers=NO_STORE)


def probe_answer(name: str, reasons: object, details: Mapping[str, object]) -> Response:
    """The answer of a probe: 503 if there are reasons. `name`: of the field that says so."""
    return JSONResponse({name: not reasons, **details}, 503 if reasons else 200, headers=NO_STORE)


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
