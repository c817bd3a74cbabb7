"""Serves the page at `/` and the playground at `/try`, if they have been built, with security headers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from gateway.http.files import IMMUTABLE, Files

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

logger = logging.getLogger(__name__)

# The page contains the same policy in a meta element; only as a header can it forbid frames.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}

PAGES = {"": "index.html", "try": "try.html"}
"""Files by the path under which they are found."""


async def _without_page(_: Request) -> Response:
    text = (
        "The gateway runs, but its page has not been built: that needs Node 20.19 (`make build`).\n"
        "All else is there: /v1/symbols, /v1/klines?symbol=SYMBOL&interval=1m, /status, /v1/openapi.json\n"
    )
    return Response(text, media_type="text/plain", headers={"cache-control": "no-store"})


def routes(built: Path) -> list[Route]:
    """The route of the page; where it has not been built, one that says so, and a warning."""
    if not built.is_dir():
        logger.warning("the page is not built and will not be served; build it with `make build` (needs Node)")
        return [Route(f"/{path}", _without_page) for path in PAGES]
    files = Files(built)

    async def answer(request: Request) -> Response:
        path = request.path_params["path"]
        name = PAGES.get(path, path)
        caching = IMMUTABLE if name.startswith("assets/") else "no-cache"
        return files.answer(request, name, {"cache-control": caching, **HEADERS})

    return [Route("/{path:path}", answer)]
