"""The page at `/`, where it has been built. Browsers keep files with a hash in their name, and ask for the rest."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import Scope

logger = logging.getLogger(__name__)

# The page brings a policy along for wherever it is served from; as a header it can forbid frames too.
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

FOREVER = "public, max-age=31536000, immutable"


def routes(built: Path) -> list[Mount]:
    """Nothing where the page has not been built."""
    if not built.is_dir():
        logger.warning("the page is not built; everything else works (build it with `make build`, which needs Node)")
        return []
    return [Mount("/", _Page(directory=built, html=True))]


class _Page(StaticFiles):
    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        hashed = scope["path"].startswith("/assets/")
        response.headers["cache-control"] = FOREVER if hashed else "no-cache"
        response.headers.update(HEADERS)
        return response
