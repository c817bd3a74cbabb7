"""For those who run it: `/healthz` (alive), `/readyz` (serving fresh data, or why not), `/metrics`, the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from gateway.ops.metrics import Metrics


def routes(
    reasons: Callable[[], list[str]], sources: Callable[[], dict[str, Any]], metrics: Metrics, asyncapi: bytes
) -> list[Route]:
    """`reasons`: why the gateway is not ready; none when it is. `sources`: how each source of data is, by name."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def readyz(_: Request) -> Response:
        why = reasons()
        return JSONResponse({"ready": not why, "reasons": why, "sources": sources()}, 503 if why else 200)

    async def scrape(_: Request) -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    async def document(_: Request) -> Response:
        return Response(asyncapi, media_type="application/json")

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", scrape),
        Route("/v1/asyncapi.json", document),
    ]
