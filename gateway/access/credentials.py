"""Credentials a client sends: where a token may stand in a request, and API keys, kept as hashes only. Pure.

Never in the URL: URLs are logged by everything on the way.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.access.grants import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TOKEN_SUBPROTOCOL = "kline.token."
"""Prefix of a token in `Sec-WebSocket-Protocol`, the only header that a page in a browser can set. Never selected."""

TOKEN_MAX = 8192
"""Longest token, in characters."""

API_KEY_PREFIX = "kg_"
"""Tells an API key from a JWT, and lets scanners for leaked secrets find it."""

ENTROPY_BYTES = 32


def token_of(header: Callable[[str], str | None], subprotocols: Iterable[str] = ()) -> str | None:
    """The first token of `Authorization: Bearer` (RFC 6750, section 2.1), `X-API-Key`, Binance's `X-MBX-APIKEY` and the
    subprotocols; None without one."""
    scheme, _, token = (header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for name in ("x-api-key", "x-mbx-apikey"):
        if key := header(name):
            return key.strip()
    offered = (name for name in subprotocols if name.startswith(TOKEN_SUBPROTOCOL))
    return next((name.removeprefix(TOKEN_SUBPROTOCOL) for name in offered), None)


def make_key(entropy: bytes) -> str:
    """An API key from 32 random bytes."""
    assert len(entropy) == ENTROPY_BYTES
    return API_KEY_PREFIX + urlsafe_b64encode(entropy).rstrip(b"=").decode()


def hash_of(key: str) -> str:
    """SHA-256, in hex. A slow hash protects secrets that can be guessed; 256 random bits cannot."""
    return sha256(key.encode()).hexdigest()


class ApiKeys:
    """The API keys of the settings."""

    def __init__(self, entries: Iterable[str]) -> None:
        """`entries`: `name:hash`, as `gateway make-key` prints them."""
        self._entries = [(name, digest) for name, _, digest in (entry.rpartition(":") for entry in entries)]

    def __bool__(self) -> bool:
        return bool(self._entries)

    def find(self, key: str) -> Grant | None:
        """The grant of a key. Compares all entries in constant time, so that the duration reveals nothing."""
        digest, found = hash_of(key), None
        for name, known in self._entries:
            if hmac.compare_digest(digest, known):
                found = Grant(f"key:{name}", fast=True)
        return found
