"""Serves the documentation at `/docs/`, if it is wanted (`http.docs`) and has been built (`make docs`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.http.files import IMMUTABLE, Files
from gateway.http.page import HEADERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.requests import Request

SEARCH_STYLE = "'sha256-NwSx/R2V/U4jnW0Tq5pQ53Y/rzPVJ4dqE7D6UTA/J1k='"
"""The style sheet that the search of the locked site generator (requirements/docs.txt) puts into its dialog. After an
upgrade, the test of the site in a browser fails with the new one."""

# The page's own policy, and what the site needs beyond it: search runs in a worker, icons are in the style sheets.
POLICY = (
    HEADERS["content-security-policy"]
    .replace("img-src 'self'", "img-src 'self' data:")
    .replace("style-src 'self'", f"style-src 'self' {SEARCH_STYLE}")
    + "; worker-src 'self'"
)

HASHED = ("assets/javascripts/", "assets/stylesheets/")
"""Folders of files with a hash of their content in the name."""

NOT_BUILT = "The documentation has not been built: run `make docs` in the sources, then start the gateway anew.\n"


async def _not_built(_: Request) -> Response:
    return Response(NOT_BUILT, media_type="text/plain", headers={"cache-control": "no-store"})


async def _to_the_site(request: Request) -> Response:
    # Relative, so that it is right behind a proxy that serves the gateway below a path.
    return RedirectResponse(request.url.path.rpartition("/")[2] + "/", 308)


def routes(site: Path, *, wanted: bool) -> list[Route]:
    """The routes of the site; where it has not been built, one that says how to."""
    if not wanted:
        return []
    answer = _answers(Files(site)) if site.is_dir() else _not_built
    return [Route("/docs", _to_the_site), Route("/docs/{path:path}", answer)]


def _answers(files: Files) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        name = request.path_params["path"]
        if name not in files and f"{name}/index.html" in files:
            return await _to_the_site(request)
        if not name or name.endswith("/"):
            name += "index.html"
        caching = IMMUTABLE if name.startswith(HASHED) else "no-cache"
        return files.answer(request, name, {"cache-control": caching, **HEADERS, "content-security-policy": POLICY})

    return answer
