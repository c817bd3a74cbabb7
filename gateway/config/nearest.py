"""Suggests what somebody may have meant who wrote a name that does not exist. Pure."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the existing name that is most like `name`, "" where none is alike."""
    found = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
