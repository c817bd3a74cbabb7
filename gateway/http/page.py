"""Serves the page at `/`, if it has been built, with caching, precompressed files and security headers.

The files are read once, at the start: a request for one costs no look at the disk and no thread.
"""

from __future__ import annotations

import logging
import mimetypes
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from gateway.http.reply import is_known

if TYPE_CHECKING:
    from collections.abc import Sequence
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

IMMUTABLE = "public, max-age=31536000, immutable"
"""For files with a hash of their content in the name (RFC 8246)."""

COMPRESSED = {"br": ".br", "gzip": ".gz"}
"""Suffixes of the compressed files beside a plain one, by content coding, the smallest first."""


class _File(NamedTuple):
    """One file in one coding."""

    coding: str | None
    body: bytes
    etag: str


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
        return [Route("/", _without_page)]
    files = {path.relative_to(built).as_posix(): _read(path) for path in built.rglob("*") if path.is_file()}

    async def answer(request: Request) -> Response:
        name = request.path_params["path"] or "index.html"
        if name not in files:
            raise HTTPException(404)
        file = _smallest(files[name], request.headers.get("accept-encoding", ""))
        headers = {
            "etag": file.etag,
            "vary": "accept-encoding",
            "cache-control": IMMUTABLE if name.startswith("assets/") else "no-cache",
            **HEADERS,
        }
        if file.coding is not None:
            headers["content-encoding"] = file.coding
        if is_known(request, file.etag):
            return Response(status_code=304, headers=headers)
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(file.body, headers=headers, media_type=media_type)

    return [Route("/{path:path}", answer)]


def _read(path: Path) -> list[_File]:
    """A file and its compressed copies, the smallest coding first, the plain file last."""
    found = []
    for coding, ending in (*COMPRESSED.items(), (None, "")):
        copy = path.with_name(path.name + ending)
        if copy.is_file():
            body = copy.read_bytes()
            found.append(_File(coding, body, f'"{blake2b(body, digest_size=12).hexdigest()}"'))
    return found


def _smallest(files: Sequence[_File], accepted: str) -> _File:
    """The smallest of the files that the client accepts."""
    # RFC 9110, section 12.5.3. Codings that are not named are not used.
    offers = (offer.replace(" ", "").lower().partition(";q=") for offer in accepted.split(","))
    codings = {name for name, _, weight in offers if weight.strip("0.") or not weight}
    return next(file for file in files if file.coding is None or file.coding in codings)
