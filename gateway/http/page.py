"""The page at `/`, where it has been built. Browsers keep files with a hash in their name, and ask for the rest;
who takes a compressed one gets what the build has compressed."""

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

PACKED = {"br": ".br", "gzip": ".gz"}
"""Endings of compressed files beside the plain one, by content coding, the smallest first."""


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
        coding, path = _smallest(str(full_path), Headers(scope=scope).get("accept-encoding", ""))
        if coding is not None:
            stat_result = os.stat(path)
        response = super().file_response(path, stat_result, scope, status_code)
        if coding is not None:
            response.headers["content-encoding"] = coding
            # A 304 has none: it repeats nothing of what the browser has.
            if "content-type" in response.headers:
                kind = mimetypes.guess_type(full_path)[0] or "application/octet-stream"
                response.headers["content-type"] = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
        response.headers["vary"] = "accept-encoding"
        hashed = scope["path"].startswith("/assets/")
        response.headers["cache-control"] = FOREVER if hashed else "no-cache"
        response.headers.update(HEADERS)
        return response


def _smallest(path: str, accepted: str) -> tuple[str | None, str]:
    """A compressed file beside this one that may be sent instead, and its coding; else itself."""
    # RFC 9110, 12.5.3: a coding with weight 0 is refused, and so is one that is not named.
    offers = (offer.replace(" ", "").lower().partition(";q=") for offer in accepted.split(","))
    welcome = {name for name, _, weight in offers if weight.strip("0.") or not weight}
    for coding, ending in PACKED.items():
        if coding in welcome and os.path.isfile(path + ending):
            return coding, path + ending
    return None, path
