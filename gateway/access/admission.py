"""Who is inside, and how fast they come: connections in all, by address and by token; handshakes by second. Pure.

Every visitor that `enter`s must `leave` once; only then is its place free.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gateway.access.token_bucket import SECOND_US, Rate, take
from gateway.access.token_buckets import TokenBuckets
from gateway.delivery.close_codes import Close

if TYPE_CHECKING:
    from gateway.access.connection import ConnectionAccess
    from gateway.access.grants import Grant
    from gateway.config import LimitsConfig

FULL_RETRY_S = 5.0
"""What a refused client is told to wait where nothing says how long it will take; it should add jitter."""


FLOODS = frozenset({Close.RATE_LIMIT, Close.POLICY})
"""Why a connection is cut that has done too much: the next one would bring a fresh allowance."""


class Refusal(NamedTuple):
    """`status`: that of HTTP; `reason`: a word for the metrics."""

    status: int
    reason: str
    message: str
    retry_after_s: float = 0.0


class AdmissionControl:
    def __init__(self, limits: LimitsConfig, max_connections: int) -> None:
        self._limits = limits
        self._max = max_connections
        self._rate = Rate.per_second(limits.handshakes_per_s, limits.handshakes_burst)
        self._address_rate = Rate.per_second(limits.handshakes_per_ip_s, limits.handshakes_per_ip_burst)
        self._full_us = 0
        self._arrivals = TokenBuckets(limits.tracked)
        self._by_group: Counter[str] = Counter()
        self._by_subject: Counter[str] = Counter()
        self.inside = 0

    def knock(self, group: str, now_us: int, *, exempt: bool) -> Refusal | None:
        """Somebody begins a handshake. Cheap, and before anything is computed for them."""
        if self.inside >= self._max:
            return Refusal(503, "full", "too many connections", FULL_RETRY_S)
        if exempt:
            return None
        # First those of one address: what one sender does must not use up what is there for all.
        taken = self._arrivals.take(group, now_us, self._address_rate)
        if not taken.wait_us:
            taken = take(self._full_us, now_us, self._rate)
            self._full_us = taken.full_us
            if not taken.wait_us:
                return None
            return Refusal(503, "handshake_rate", "too many handshakes", taken.wait_us / SECOND_US)
        return Refusal(429, "address_rate", "too many handshakes from your address", taken.wait_us / SECOND_US)

    def enter(self, visitor: ConnectionAccess) -> Refusal | None:
        """Take a place, unless there is none; the rest of the handshake may still fail: then `leave`."""
        if self.inside >= self._max:
            return Refusal(503, "full", "too many connections", FULL_RETRY_S)
        if not visitor.exempt and self._by_group[visitor.group] >= self._limits.connections_per_ip:
            return Refusal(429, "address_connections", "too many connections from your address", FULL_RETRY_S)
        if visitor.grant is not None and not self._has_place(visitor.grant):
            return Refusal(429, "token_connections", "too many connections with this token", FULL_RETRY_S)
        self.inside += 1
        self._by_group[visitor.group] += 1
        if visitor.grant is not None:
            self._by_subject[visitor.grant.subject] += 1
        return None

    def show(self, visitor: ConnectionAccess, grant: Grant, now_us: int) -> bool:
        """Somebody inside shows a token; says whether its owner has a place left for this connection."""
        before = visitor.grant
        if before is None or before.subject != grant.subject:
            if not self._has_place(grant):
                return False
            self._by_subject[grant.subject] += 1
            if before is not None:
                self._drop(self._by_subject, before.subject)
        visitor.show(grant, now_us)
        return True

    def leave(self, visitor: ConnectionAccess) -> None:
        assert not visitor.gone, "left twice"
        visitor.gone = True
        self.inside -= 1
        self._drop(self._by_group, visitor.group)
        if visitor.grant is not None:
            self._drop(self._by_subject, visitor.grant.subject)

    def cut(self, visitor: ConnectionAccess, reason: Close, now_us: int) -> None:
        """A connection is ended by force. A flood costs its address handshakes, so that coming back gains nothing."""
        if reason in FLOODS and not visitor.exempt:
            self._arrivals.charge(visitor.group, now_us, self._address_rate, self._limits.handshakes_per_cut)

    def _has_place(self, grant: Grant) -> bool:
        return self._by_subject[grant.subject] < self._limits.connections_per_token

    @staticmethod
    def _drop(counts: Counter[str], key: str) -> None:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]
