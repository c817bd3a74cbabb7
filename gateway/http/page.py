"""Serves the page at `/`, if it has been built, with caching, precompressed files and security headers."""

from __future__ import annotations

import logging
import mimetypes
import os
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import Scope

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

IMMUTABLE = "public, max-age=31536000, immutable"
"""For files with a hash of their content in the name (RFC 8246)."""

COMPRESSED = {"br": ".br", "gzip": ".gz"}
"""Suffixes of the compressed files beside a plain one, by content coding, the smallest first."""


def routes(built: Path) -> list[Mount]:
    """The route of the page; none, and a warning, if it has not been built."""
    if not built.is_dir():
        logger.warning("the page is not built and will not be served; build it with `make build` (needs Node)")
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
        coding, path = _smallest(str(full_path), Headers(scope=scope).get("accept-encoding", ""))
        if coding is not None:
            stat_result = os.stat(path)
        response = super().file_response(path, stat_result, scope, status_code)
        if coding is not None:
            response.headers["content-encoding"] = coding
            # A 304 has no content type.
            if "content-type" in response.headers:
                kind = mimetypes.guess_type(full_path)[0] or "application/octet-stream"
                response.headers["content-type"] = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
        response.headers["vary"] = "accept-encoding"
        hashed = scope["path"].startswith("/assets/")
        response.headers["cache-control"] = IMMUTABLE if hashed else "no-cache"
        response.headers.update(HEADERS)
        return response


def _smallest(path: str, accepted: str) -> tuple[str | None, str]:
    """The coding and path of the smallest file that the client accepts; None and `path` for the plain file."""
    # RFC 9110, section 12.5.3. Codings that are not named are not used.
    offers = (offer.replace(" ", "").lower().partition(";q=") for offer in accepted.split(","))
    accepted_codings = {name for name, _, weight in offers if weight.strip("0.") or not weight}
    for coding, ending in COMPRESSED.items():
        if coding in accepted_codings and os.path.isfile(path + ending):
            return coding, path + ending
    return None, path
