"""The names of query parameters: a name that a route does not know is an error that says which one was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.nearest import nearest
from gateway.history.query import QueryError, bad_field

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request

SHOWN_CHARS = 40
"""Of a name that is not known."""


def unusable(request: Request, known: Collection[str]) -> QueryError | None:
    """The error for the first parameter that is not `known`, or is given twice: either value could be meant."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            expected = f"expected {', '.join(known)}" if known else "there are none here"
            return bad_field(name[:SHOWN_CHARS], f"unknown parameter; {expected}{_meant(name, known)}")
        if names.count(name) > 1:
            return bad_field(name, "given more than once")
    return None


def misspelled(request: Request, known: Collection[str]) -> str | None:
    """Why the first parameter that looks like a misspelled `known` one cannot be used.

    For dialects whose clients add parameters of their own: others are ignored.
    """
    for name in request.query_params:
        if name not in known and (meant := _meant(name, known)):
            return f"{name[:SHOWN_CHARS]}: unknown parameter{meant}"
    return None


def _meant(name: str, known: Collection[str]) -> str:
    """`; did you mean 'x'?` Names that differ in case or underscores only are alike: start_time, startTime."""
    if alike := [other for other in known if _plain(other) == _plain(name)]:
        return f"; did you mean {alike[0]!r}?"
    return nearest(name[:SHOWN_CHARS], known)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
