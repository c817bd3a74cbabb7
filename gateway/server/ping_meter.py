"""Whether a client behind a proxy keeps up, by how long its pongs take. Pure: takes the time.

The kernel shows what waits for the proxy. The proxy reads fast and keeps what its client has not read, so only an
answer of the client says that everything before it has arrived.
"""

from __future__ import annotations

import math

from gateway.protocol.frame import PING, frame

PING_S = 5.0
"""Least time between two pings of a client that keeps up. It is less as long as the connection is young: then a client
that reads slowly is found before the proxy holds much for it."""

LEAST_PING_S = 0.1
"""Least time between two pings of any client. One that has been late is pinged so often, with each write that it waits
for, for `WATCH_S`."""

WATCH_S = 60.0

LATE_S = 0.25
"""A pong that takes longer, and twice as long as the fastest one of its connection, has waited behind other bytes."""


class PingMeter:
    """The pings of one connection, of which at most one is unanswered. A client that has never answered is not late."""

    __slots__ = ("_fastest_s", "_number", "_opened_s", "_sent_s", "_unanswered", "_was_late", "_watched_to_s")

    def __init__(self, now_s: float) -> None:
        self._opened_s = now_s
        self._number = 0
        self._sent_s = -math.inf
        self._unanswered = False
        self._fastest_s = math.inf
        self._was_late = False
        self._watched_to_s = -math.inf

    def due_ping(self, now_s: float) -> bytes:
        """A ping as a frame, which the caller writes; b"" if none is due."""
        interval_s = 0.0 if self.is_watched(now_s) else min(PING_S, self._sent_s - self._opened_s)
        interval_s = max(LEAST_PING_S, interval_s)
        if self._unanswered or now_s - self._sent_s < interval_s:
            return b""
        self._number += 1
        self._sent_s = now_s
        self._unanswered = True
        return frame(PING, self._payload())

    def answered(self, payload: bytes, now_s: float) -> bool:
        """Take a pong; returns whether it answers a ping of this meter.

        A client may answer only the last of several pings (RFC 6455, section 5.5.3), so any pong is taken for an
        answer, but how far away the client is goes by this meter's own.
        """
        if not self._unanswered:
            return False
        self._unanswered = False
        if payload != self._payload():
            return False
        took_s = now_s - self._sent_s
        self._was_late |= self._is_late(took_s, now_s)
        self._fastest_s = min(self._fastest_s, took_s)
        return True

    def waits(self, now_s: float) -> bool:
        """Whether bytes that were written before have not arrived for so long that nothing should be added."""
        return self._unanswered and self._is_late(now_s - self._sent_s, now_s)

    def takes_late(self, now_s: float) -> bool:
        """Whether the client has been late since the last call, or is now."""
        was_late, self._was_late = self._was_late, False
        return self.waits(now_s) or was_late

    def is_watched(self, now_s: float) -> bool:
        """Whether the client has been late within `WATCH_S`."""
        return now_s < self._watched_to_s

    def _payload(self) -> bytes:
        return b"read-%d" % self._number

    def _is_late(self, took_s: float, now_s: float) -> bool:
        if took_s <= max(LATE_S, 2 * self._fastest_s):
            return False
        self._watched_to_s = now_s + WATCH_S
        return True
