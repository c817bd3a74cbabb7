"""Built files, read once at the start, and answers with them: caching, precompressed copies, content types.

A request for one costs no look at the disk and no thread.
"""

from __future__ import annotations

import mimetypes
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.http.reply import is_known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from starlette.requests import Request

IMMUTABLE = "public, max-age=31536000, immutable"
"""For files with a hash of their content in the name (RFC 8246)."""

COMPRESSED = {"br": ".br", "gzip": ".gz"}
"""Suffixes of the compressed files beside a plain one, by content coding, the smallest first."""

MEDIA_TYPES = {".md": "text/markdown; charset=utf-8", ".txt": "text/plain; charset=utf-8"}
"""Of files whose type is not known everywhere, or is text in UTF-8."""


class _File(NamedTuple):
    """One file in one coding."""

    coding: str | None
    body: bytes
    etag: str


class Files:
    """All files below a folder, as they were at the start."""

    def __init__(self, folder: Path) -> None:
        self._files = {path.relative_to(folder).as_posix(): _read(path) for path in folder.rglob("*") if path.is_file()}

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def answer(self, request: Request, name: str, headers: Mapping[str, str]) -> Response:
        """The file, or 304 where the client has it. `headers` are added. Raises HTTPException(404) if there is none."""
        if name not in self._files:
            raise HTTPException(404)
        file = _smallest(self._files[name], request.headers.get("accept-encoding", ""))
        sent = {"etag": file.etag, "vary": "accept-encoding", **headers}
        if file.coding is not None:
            sent["content-encoding"] = file.coding
        if is_known(request, file.etag):
            return Response(status_code=304, headers=sent)
        suffix = f".{name.rpartition('.')[2]}"
        media_type = MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(file.body, headers=sent, media_type=media_type)


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
