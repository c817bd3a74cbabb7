"""Counts connections (in all, by address, by token) and handshakes per second, and says who may connect. Pure.

Every connection that `admit` accepts must be given back with `release` exactly once.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gateway.access.token_bucket import SECOND_US, Rate, TokenBuckets, take
from gateway.delivery.close_codes import Close
from gateway.model.errors import ErrorCode

if TYPE_CHECKING:
    from gateway.access.connection import ConnectionAccess
    from gateway.access.grants import Grant
    from gateway.config import LimitsConfig

FULL_RETRY_S = 5.0
"""Retry-After where nothing says how long a place takes to become free. Clients should add jitter."""

SCARCE = 0.8
"""Part of the places from which on connections without a subscription give theirs to others."""

FLOOD_REASONS = frozenset({Close.RATE_LIMIT, Close.POLICY})
"""Reasons to penalize an address: a new connection would start with full rate limits."""


SETTINGS = {
    "full": "stream.max_connections",
    "address_rate": "limits.handshakes_per_ip_s",
    "handshake_rate": "limits.handshakes_per_s",
    "address_connections": "limits.connections_per_ip",
    "token_connections": "limits.connections_per_token",
    "http_rate": "limits.http_per_min",
    "token_missing": "tokens.required",
    "no_archive": "archive.path",
    "no_replays": "replay.max_sessions",
    "replays": "replay.max_sessions",
    "address_replays": "replay.sessions_per_ip",
}
"""The setting that decides, by the reason of a refusal. The messages of other reasons name it, or there is none."""


class Refusal(NamedTuple):
    """Why a handshake or request is refused. `reason`: label for the metrics."""

    code: ErrorCode
    reason: str
    message: str
    retry_after_s: float = 0.0

    @property
    def explanation(self) -> str:
        """The message with the setting that decides."""
        setting = SETTINGS.get(self.reason)
        return f"{self.message} See {setting}." if setting else self.message


class AdmissionControl:
    """The counts never go below zero: a connection is counted between `admit` and `release`."""

    def __init__(self, limits: LimitsConfig, max_connections: int) -> None:
        self._limits = limits
        self._max = max_connections
        self._rate = Rate.per_second(limits.handshakes_per_s, limits.handshakes_burst)
        self._address_rate = Rate.per_second(limits.handshakes_per_ip_s, limits.handshakes_per_ip_burst)
        self._full_us = 0
        self._handshakes = TokenBuckets(limits.tracked)
        self._by_group: Counter[str] = Counter()
        self._by_subject: Counter[str] = Counter()
        self.connections = 0

    def is_scarce(self) -> bool:
        """Whether few places are left."""
        return self.connections >= SCARCE * self._max

    def check_handshake(self, group: str, now_us: int, *, exempt: bool) -> Refusal | None:
        """Count a handshake that begins. Cheap: it runs before a token is verified or a key is computed."""
        if self.connections >= self._max:
            return Refusal(ErrorCode.OVERLOADED, "full", "Too many connections.", FULL_RETRY_S)
        if exempt:
            return None
        # The address's own bucket comes first: what one address sends must not use up the bucket that all share.
        taken = self._handshakes.take(group, now_us, self._address_rate)
        if taken.wait_us:
            return Refusal(
                ErrorCode.RATE_LIMIT,
                "address_rate",
                "Too many handshakes from your address.",
                taken.wait_us / SECOND_US,
            )
        taken = take(self._full_us, now_us, self._rate)
        self._full_us = taken.full_us
        if taken.wait_us:
            return Refusal(ErrorCode.OVERLOADED, "handshake_rate", "Too many handshakes.", taken.wait_us / SECOND_US)
        return None

    def admit(self, connection: ConnectionAccess) -> Refusal | None:
        """Count a connection, unless a limit is reached. If the handshake fails afterwards, call `release`."""
        if self.connections >= self._max:
            return Refusal(ErrorCode.OVERLOADED, "full", "Too many connections.", FULL_RETRY_S)
        if not connection.exempt and self._by_group[connection.group] >= self._limits.connections_per_ip:
            return Refusal(
                ErrorCode.RATE_LIMIT, "address_connections", "Too many connections from your address.", FULL_RETRY_S
            )
        if connection.grant is not None and self._is_full(connection.grant):
            return Refusal(
                ErrorCode.RATE_LIMIT, "token_connections", "Too many connections with this token.", FULL_RETRY_S
            )
        self.connections += 1
        self._by_group[connection.group] += 1
        if connection.grant is not None:
            self._by_subject[connection.grant.subject] += 1
        return None

    def present_token(self, connection: ConnectionAccess, grant: Grant, now_us: int) -> bool:
        """Give an open connection another grant; False if the token's owner has no connection left."""
        previous = connection.grant
        if previous is None or previous.subject != grant.subject:
            if self._is_full(grant):
                return False
            self._by_subject[grant.subject] += 1
            if previous is not None:
                _decrement(self._by_subject, previous.subject)
        connection.set_grant(grant, now_us)
        return True

    def release(self, connection: ConnectionAccess) -> None:
        """Stop counting a connection that `admit` accepted."""
        assert not connection.released, "released twice"
        connection.released = True
        self.connections -= 1
        _decrement(self._by_group, connection.group)
        if connection.grant is not None:
            _decrement(self._by_subject, connection.grant.subject)

    def penalize(self, connection: ConnectionAccess, reason: Close, now_us: int) -> None:
        """Charge the address of a connection closed for a flood `handshakes_per_cut`, so that reconnecting gains
        nothing."""
        if reason in FLOOD_REASONS and not connection.exempt:
            self._handshakes.charge(connection.group, now_us, self._address_rate, self._limits.handshakes_per_cut)

    def _is_full(self, grant: Grant) -> bool:
        return self._by_subject[grant.subject] >= self._limits.connections_per_token


def _decrement(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
