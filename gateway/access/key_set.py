"""Public keys that verify tokens, from a JWKS document (RFC 7517) in a file or at a URL.

The document is read again when it is too old, and when a token names a key that it does not contain. Each key is for
one algorithm; a token's header selects one of the trusted keys, never the algorithm of a key.
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
"""By key type. Secrets (type "oct") do not belong in a public document."""
RSA_MIN_BITS = 2048

FETCH_S = 5.0
FETCH_MAX_BYTES = 256 * 1024
RETRY_S = 10.0
"""Shortest time between two reads: tokens with invented key names must not cause more."""


class KeySetError(Exception):
    """The document cannot be read or used; the text says why."""


def parse_key_set(text: bytes) -> dict[tuple[str, str], jwt.PyJWK]:
    """Keys by algorithm and name (`kid`, "" without one). Keys for other uses are ignored. Raises `KeySetError`."""
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
        raise KeySetError("the document contains no key for RS256 or ES256")
    return found


class KeySet:
    """Keys of one document. Keeps the previous keys while the document cannot be read."""

    def __init__(self, source: str, max_age_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        """`source`: path of a file, or a URL."""
        self._source = source
        self._max_age_s = max_age_s
        self._clock_s = clock_s
        self._keys: dict[tuple[str, str], jwt.PyJWK] = {}
        self._read_s = self._tried_s = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    def has(self, kid: object) -> bool:
        """Whether a key of that name is known, for whatever algorithm. Keys without a name have none."""
        return kid is not None and kid != "" and any(name == kid for _, name in self._keys)

    async def find(self, algorithm: str, kid: str | None) -> jwt.PyJWK | None:
        """The key of that name; if the token names none, the only key for the algorithm."""
        if self._clock_s() - self._read_s >= self._max_age_s:
            await self._refresh()
        key = self._known(algorithm, kid)
        if key is None:
            # It may be new: issuers publish the next key before they sign with it.
            await self._refresh()
            key = self._known(algorithm, kid)
        return key

    def _known(self, algorithm: str, kid: str | None) -> jwt.PyJWK | None:
        if kid is not None:
            return self._keys.get((algorithm, kid))
        fitting = [key for (name, _), key in self._keys.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        """Read the document once for all callers that wait, at most every `RETRY_S`."""
        if self._reading is None:
            if self._clock_s() - self._tried_s < RETRY_S:
                return
            self._tried_s = self._clock_s()
            self._reading = asyncio.create_task(self._read())
        # A caller that is cancelled must not cancel the read for the others.
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            self._keys = parse_key_set(await asyncio.to_thread(self._fetch))
            self._read_s = self._clock_s()
        except (KeySetError, OSError, HTTPException, ValueError) as error:
            logger.warning("cannot read the key set, keeping the previous keys: %s", error)
        finally:
            self._reading = None

    def _fetch(self) -> bytes:
        if "://" not in self._source:
            return Path(self._source).read_bytes()
        request = Request(self._source, headers={"Accept": "application/json"})
        with urlopen(request, timeout=FETCH_S) as answer:
            text: bytes = answer.read(FETCH_MAX_BYTES + 1)
        if len(text) > FETCH_MAX_BYTES:
            raise KeySetError(f"the document is larger than {FETCH_MAX_BYTES} bytes")
        return text
