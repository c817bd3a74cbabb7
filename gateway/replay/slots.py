"""Counts replays, in all and by address, and says who may begin one. Pure.

Every slot that `take` gives must be given back with `free` exactly once.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.access.admission import FULL_RETRY_S, Refusal
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from gateway.config.sections import ReplayConfig


class ReplaySlots:
    """The counts never go below zero."""

    def __init__(self, config: ReplayConfig) -> None:
        self._max = config.max_sessions
        self._max_by_address = config.sessions_per_ip
        self._by_address: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """Replays now."""
        return self._by_address.total()

    def take(self, group: str, *, exempt: bool) -> Refusal | None:
        """Count a replay of an address (`group`), unless a limit is reached; `exempt`: only that of all counts."""
        if not self._max:
            return Refusal(ErrorCode.NOT_FOUND, "no_replays", "This gateway offers no replays.")
        if self.taken >= self._max:
            return Refusal(ErrorCode.OVERLOADED, "replays", "Too many replays.", FULL_RETRY_S)
        if not exempt and self._by_address[group] >= self._max_by_address:
            return Refusal(ErrorCode.RATE_LIMIT, "address_replays", "Too many replays of your address.", FULL_RETRY_S)
        self._by_address[group] += 1
        return None

    def free(self, group: str) -> None:
        """A replay has ended."""
        assert self._by_address[group] > 0, "freed twice"
        self._by_address[group] -= 1
        if not self._by_address[group]:
            del self._by_address[group]
