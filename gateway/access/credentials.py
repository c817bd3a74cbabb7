"""Credentials a client sends: where a token may stand in a request, and API keys, kept as hashes only. Pure.

Never in the URL: URLs are logged by everything on the way.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.access.grants import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TOKEN_SUBPROTOCOL = "kline.token."
"""Prefix of a token in `Sec-WebSocket-Protocol`, the only header that a page in a browser can set. Never selected."""

TOKEN_MAX = 8192
"""Longest token, in characters."""

API_KEY_PREFIX = "kg_"
"""Of the keys that `make-key` prints: says that a key is meant for a gateway, and lets scanners for leaked secrets find
it."""

ENTROPY_BYTES = 32


KEY_HEADERS = ("x-api-key", "x-mbx-apikey", "apikey")
"""Headers with a key: ours, that of Binance's clients, that of Supabase's."""


class Presented(NamedTuple):
    """A token as it stands in a request."""

    text: str
    meant: bool = False
    """It stands where only tokens for this gateway do. In the headers, clients send those of other services too."""


def tokens_of(header: Callable[[str], str | None], subprotocols: Iterable[str] = ()) -> list[Presented]:
    """The tokens of a request, each once: of `Authorization: Bearer` (RFC 6750, section 2.1), `KEY_HEADERS` and the
    subprotocols, in this order."""
    scheme, _, token = (header("authorization") or "").partition(" ")
    texts = [token if scheme.lower() == "bearer" else "", *(header(name) or "" for name in KEY_HEADERS)]
    found = dict.fromkeys(Presented(text.strip()) for text in texts if text.strip())
    offered = (name for name in subprotocols if name.startswith(TOKEN_SUBPROTOCOL))
    meant = [Presented(name.removeprefix(TOKEN_SUBPROTOCOL), meant=True) for name in offered]
    return [*found, *meant[:1]]


class Unverified(NamedTuple):
    """What a JWT says about itself. Anybody can write it: it must not decide what a client may do."""

    kid: object = None
    issuer: object = None
    audiences: tuple[object, ...] = ()


def unverified(token: str) -> Unverified:
    """What the header and the claims of a JWT say, as far as they can be read; its signature may be missing."""
    header, _, rest = token.partition(".")
    head, claims = _json_part(header), _json_part(rest.partition(".")[0])
    audience = claims.get("aud")
    return Unverified(
        head.get("kid"), claims.get("iss"), tuple(audience) if isinstance(audience, list) else (audience,)
    )


def _json_part(text: str) -> dict[str, Any]:
    """A part of a JWT as an object; empty if it is none."""
    try:
        part = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return {}
    return part if isinstance(part, dict) else {}


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
                found = Grant(f"key:{name}", fast=True, replay=True)
        return found
