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
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts of this machine: a page from there is one that is being written, on a port of its own."""
ANY = "*"
OPAQUE = "null"
"""The Origin of pages without one: sandboxed frames, files, redirects (RFC 6454, section 7.1)."""

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """An origin as in RFC 6454, section 4, in lower case. Schemes of apps (`capacitor`, `app`, `file`) have no default
    port, which is 0 here, and perhaps no host."""

    scheme: str
    host: str
    port: int


def parse_origin(text: str) -> Origin | None:
    """None for a text that is not scheme, host and port, such as "null"."""
    scheme, separator, _ = text.partition("://")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    bare = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    if not separator or parts.scheme != scheme.lower() or not bare:
        return None
    if parts.scheme in _PORTS and not parts.hostname:
        return None
    return Origin(parts.scheme, parts.hostname or "", _PORTS.get(parts.scheme, 0) if port is None else port)


class OriginRule:
    """Patterns: `self` (same host as the stream), `*` (any), `null`, an origin, or an origin whose host begins with
    `*.` (all subdomains)."""

    def __init__(self, patterns: Iterable[str], *, own_machine: bool = False) -> None:
        """`own_machine`: nobody else can reach the stream, so `self` is each page of this machine, on any port.

        Raises `ValueError` with a pattern that is invalid.
        """
        self._own_machine = own_machine
        self._any = self._own = self._opaque = False
        self._exact: set[Origin] = set()
        self._below: list[Origin] = []
        for pattern in patterns:
            if pattern in (SELF, ANY, OPAQUE):
                self._own |= pattern == SELF
                self._any |= pattern == ANY
                self._opaque |= pattern == OPAQUE
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
        if origin == OPAQUE:
            return self._opaque
        found = parse_origin(origin)
        if found is None:
            return False
        # Behind a proxy our own scheme is unknown, and the default port depends on it: use the page's.
        if self._own and found.scheme in _PORTS and self._is_own(found, host):
            return True
        return found in self._exact or any(
            found.scheme == below.scheme and found.port == below.port and found.host.endswith(below.host)
            for below in self._below
        )

    def _is_own(self, found: Origin, host: str) -> bool:
        return parse_origin(f"{found.scheme}://{host}") == found or (self._own_machine and found.host in LOOPBACK)
