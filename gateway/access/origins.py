"""Which pages may open a stream: compares the `Origin` of a browser's handshake with the configured patterns. Pure.

Browsers let any page open a WebSocket to any server, but a page cannot forge its Origin (RFC 6455, section 10.2). Other
programs send any Origin or none; they are restricted by tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

SELF = "self"
ANY = "*"
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """An origin as in RFC 6454, section 4, in lower case."""

    scheme: str
    host: str
    port: int


def parse_origin(text: str) -> Origin | None:
    """None for a text that is not the origin of a web page, such as "null" (RFC 6454, section 7.1)."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    default = _PORTS.get(parts.scheme)
    bare = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    if default is None or not parts.hostname or not bare:
        return None
    return Origin(parts.scheme, parts.hostname, default if port is None else port)


class OriginRule:
    """Patterns: `self` (same host as the stream), `*` (any), an origin, or an origin whose host begins with `*.`
    (all subdomains)."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises `ValueError` with a pattern that is invalid."""
        self._any = self._own = False
        self._exact: set[Origin] = set()
        self._below: list[Origin] = []
        for pattern in patterns:
            if pattern in (SELF, ANY):
                self._own, self._any = self._own or pattern == SELF, self._any or pattern == ANY
                continue
            origin = parse_origin(pattern)
            wild = origin is not None and origin.host.startswith("*.")
            if origin is None or "*" in origin.host.removeprefix("*."):
                raise ValueError(pattern)
            if wild:
                self._below.append(origin._replace(host=origin.host[1:]))
            else:
                self._exact.add(origin)

    def admits(self, origin: str | None, host: str) -> bool:
        """`origin` and `host`: values of the handshake's headers. A client without an Origin is not a browser."""
        if origin is None or self._any:
            return True
        found = parse_origin(origin)
        if found is None:
            return False
        # Behind a proxy our own scheme is unknown, and the default port depends on it: use the page's.
        if self._own and parse_origin(f"{found.scheme}://{host}") == found:
            return True
        if found in self._exact:
            return True
        return any(
            found.scheme == below.scheme and found.port == below.port and found.host.endswith(below.host)
            for below in self._below
        )
