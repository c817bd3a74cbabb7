"""API keys: made here, kept as hashes only, compared in constant time.

A plain SHA-256 is enough for what is drawn at random from 256 bits: there is nothing to guess that a slow hash would
have to protect.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.access.grants import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "kg_"
"""Tells a key from a JWT, and lets scanners for leaked secrets find it."""
ENTROPY_BYTES = 32


def make_key(entropy: bytes) -> str:
    assert len(entropy) == ENTROPY_BYTES
    return PREFIX + urlsafe_b64encode(entropy).rstrip(b"=").decode()


def hash_of(key: str) -> str:
    return sha256(key.encode()).hexdigest()


class ApiKeys:
    """By entries `name:hash`, as `gateway make-key` prints them."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = [(name, digest) for name, _, digest in (entry.rpartition(":") for entry in entries)]

    def __bool__(self) -> bool:
        return bool(self._entries)

    def find(self, key: str) -> Grant | None:
        digest, found = hash_of(key), None
        # All of them, whichever it is: the time it takes says nothing.
        for name, known in self._entries:
            if hmac.compare_digest(digest, known):
                found = Grant(f"key:{name}")
        return found
