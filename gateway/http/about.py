"""`GET /v1/about`: which gateway this is, and whose data it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from gateway.http.errors import coded_route
from gateway.http.reply import LIVE

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from gateway.config import AttributionConfig


def routes(attribution: AttributionConfig, version: str) -> list[Route]:
    """The route. `attribution` is `null` in the answer where no name is configured."""
    data = {"name": attribution.name, "url": attribution.url, "terms": attribution.terms}
    body = {"version": version, "data": data if attribution.name else None}

    async def about(_: Request) -> Response:
        return JSONResponse(body, headers={"cache-control": LIVE})

    return [coded_route("/v1/about", about, "GET")]
