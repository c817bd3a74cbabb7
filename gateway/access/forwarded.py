"""The `Forwarded` header of proxies (RFC 7239): which address each of them saw. Pure.

A quoted string may contain commas, semicolons and text that looks like an element: a proxy quotes the client's Host
there. So the header is read by its grammar, and nothing in a quoted string counts as an element.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# RFC 9110, section 5.6.2 (token) and 5.6.4 (quoted-string); RFC 7239, section 4 (pairs and elements).
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# Proxies write bare addresses with ports and brackets, which strictly need quotes.
_BARE = r'[^\s",;]*'
_PAIR = rf"{_TOKEN}\s*=\s*(?:{_QUOTED}|{_BARE})"
_ELEMENT = rf"\s*(?:{_PAIR})?\s*(?:;\s*(?:{_PAIR})?\s*)*+"

_element = re.compile(_ELEMENT, re.DOTALL)
_pair = re.compile(rf"({_TOKEN})\s*=\s*({_QUOTED}|{_BARE})", re.DOTALL)


def forwarded_for(values: Sequence[str]) -> list[str]:
    """The `for` parameter of each element of the header's values, in order; "" for an element without a readable one.

    A value that breaks the grammar is known by its last element alone, if that is one by itself: the nearest proxy has
    appended it to what may be a client's nonsense.
    """
    found: list[str] = []
    for value in values:
        elements = _elements(value)
        if elements is None:
            last = value.rpartition(",")[2]
            found += ["", *(_for_of(element) for element in _elements(last) or [""])]
        else:
            found += map(_for_of, elements)
    return found


def _elements(value: str) -> list[str] | None:
    """The elements of one value; `None` where it breaks the grammar."""
    found: list[str] = []
    position = 0
    while True:
        match = _element.match(value, position)
        assert match is not None, "an element may be empty"
        found.append(match[0])
        position = match.end()
        if position == len(value):
            return found
        if value[position] != ",":
            return None
        position += 1


def _for_of(element: str) -> str:
    values = [value for name, value in _pair.findall(element) if name.lower() == "for"]
    if len(values) != 1:
        # None, or several: which one the proxy meant is not known (RFC 7239, section 4).
        return ""
    (value,) = values
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL) if value.startswith('"') else value
