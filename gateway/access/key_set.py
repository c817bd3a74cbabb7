"""Public keys to verify tokens with, from a JWKS (RFC 7517) in a file or behind a URL: read again as they grow old, and
when a token names one that is not there yet.

A key is for one algorithm. That one a token's header must name too: it chooses among what is trusted, never how.
"""

from __future__ import annotations

import asyncio
import logging
import time
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import jwt
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
"""By type of key. Secrets (type "oct") have no place in a document that is handed around."""
RSA_MIN_BITS = 2048

FETCH_S = 5.0
FETCH_MAX_BYTES = 256 * 1024
RETRY_S = 10.0
"""Tokens with made-up key names must not make us ask more often than this."""


class KeySetError(Exception):
    """The document cannot be had or used; says why."""


def parse_key_set(text: bytes) -> dict[tuple[str, str], jwt.PyJWK]:
    """By algorithm and name (`kid`, "" where it has none). Keys for other uses are passed over."""
    try:
        keys = orjson.loads(text)["keys"]
        described = [key for key in keys if key.get("kty") in ALGORITHMS and key.get("use", "sig") == "sig"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise KeySetError("not a JWKS document") from error
    found = {}
    for key in described:
        algorithm = ALGORITHMS[key["kty"]]
        if key.get("alg", algorithm) != algorithm or (key["kty"] == "EC" and key.get("crv") != "P-256"):
            continue
        try:
            parsed = jwt.PyJWK(key, algorithm)
        except (jwt.PyJWTError, ValueError) as error:
            raise KeySetError(f"key {str(key.get('kid'))[:40]!r} cannot be read") from error
        if key["kty"] == "RSA" and parsed.key.key_size < RSA_MIN_BITS:
            raise KeySetError(f"key {str(key.get('kid'))[:40]!r} is shorter than {RSA_MIN_BITS} bits")
        found[algorithm, str(key.get("kid", ""))] = parsed
    if not found:
        raise KeySetError("no key for RS256 or ES256 in it")
    return found


class KeySet:
    """`source`: a file's path or a URL."""

    def __init__(self, source: str, max_age_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._max_age_s = max_age_s
        self._clock_s = clock_s
        self._keys: dict[tuple[str, str], jwt.PyJWK] = {}
        self._read_s = self._tried_s = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, kid: str | None) -> jwt.PyJWK | None:
        """The key of that name, or the only one for the algorithm where the token names none."""
        if self._clock_s() - self._read_s >= self._max_age_s:
            await self._refresh()
        key = self._known(algorithm, kid)
        if key is None:
            # It may be new: keys are changed by publishing the next one before it signs.
            await self._refresh()
            key = self._known(algorithm, kid)
        return key

    def _known(self, algorithm: str, kid: str | None) -> jwt.PyJWK | None:
        if kid is not None:
            return self._keys.get((algorithm, kid))
        fitting = [key for (name, _), key in self._keys.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        """One reading at a time, for all who wait; at most one per `RETRY_S`. Keys from before stay until then."""
        if self._reading is None:
            if self._clock_s() - self._tried_s < RETRY_S:
                return
            self._tried_s = self._clock_s()
            self._reading = asyncio.create_task(self._read())
        # Whoever gives up waiting does not take it away from the others.
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            self._keys = parse_key_set(await asyncio.to_thread(self._fetch))
            self._read_s = self._clock_s()
        except (KeySetError, OSError, HTTPException, ValueError) as error:
            logger.warning("keys for tokens not read, those from before stay: %s", error)
        finally:
            self._reading = None

    def _fetch(self) -> bytes:
        if "://" not in self._source:
            return Path(self._source).read_bytes()
        request = Request(self._source, headers={"Accept": "application/json"})
        with urlopen(request, timeout=FETCH_S) as answer:
            text: bytes = answer.read(FETCH_MAX_BYTES + 1)
        if len(text) > FETCH_MAX_BYTES:
            raise KeySetError("too large for a JWKS document")
        return text
