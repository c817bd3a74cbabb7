"""Tokens that have opened a connection, where each may open one only: remembered by `jti` until they expire. Pure."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from gateway.access.grants import TokenRefused

if TYPE_CHECKING:
    from gateway.access.grants import Grant


class SingleUse:
    """What is remembered was signed by an issuer, so an attacker cannot fill this up. Full all the same, it opens to
    nobody: to forget one would be to let it in again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: set[str] = set()
        self._by_end: list[tuple[float, str]] = []

    def check(self, grant: Grant, wall_s: float) -> None:
        """Raises `TokenRefused` for one that has been used, or cannot be told from others; API keys pass."""
        while self._by_end and self._by_end[0][0] <= wall_s:
            self._ids.discard(heapq.heappop(self._by_end)[1])
        if grant.expires_ms is None:
            return
        if not grant.id:
            raise TokenRefused("claims", "the token needs a jti")
        if grant.id in self._ids:
            raise TokenRefused("replayed", "the token has been used before")
        if len(self._ids) >= self._most:
            raise TokenRefused("replay_memory", "no more tokens can be told apart just now")

    def spend(self, grant: Grant) -> None:
        """It has opened a connection. Only after a `check` in the same step."""
        if grant.expires_ms is not None:
            self._ids.add(grant.id)
            heapq.heappush(self._by_end, (grant.expires_s, grant.id))
