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

WINDOW_BYTES = 32 * 1024
"""What is written behind an unanswered ping at most, but for the last write: as much as the kernel takes for a client
without a proxy."""

LATE_S, LATEST_S = 0.25, 1.0
"""A pong that takes longer than the first, and twice as long as the fastest one of its connection, or longer than the
second, has waited behind other bytes. The second is for clients that are slow from the start, whose pongs are too."""


class PingMeter:
    """The pings of one connection, of which at most one is unanswered. A client that has never answered is not late."""

    __slots__ = (
        "_fastest_s",
        "_late_to_s",
        "_number",
        "_opened_s",
        "_sent_s",
        "_unanswered",
        "_was_late",
        "_written_bytes",
    )

    def __init__(self, now_s: float) -> None:
        self._opened_s = now_s
        self._number = 0
        self._sent_s = -math.inf
        self._unanswered = False
        self._fastest_s = math.inf
        self._was_late = False
        self._late_to_s = -math.inf
        self._written_bytes = 0

    def due_ping(self, now_s: float) -> bytes:
        """A ping as a frame, which the caller writes; b"" if none is due."""
        interval_s = 0.0 if now_s < self._late_to_s else min(PING_S, self._sent_s - self._opened_s)
        is_soon = now_s - self._sent_s < max(LEAST_PING_S, interval_s) and self._written_bytes <= WINDOW_BYTES // 2
        if self._unanswered or is_soon:
            return b""
        self._number += 1
        self._sent_s = now_s
        self._unanswered = True
        self._written_bytes = 0
        return frame(PING, self._payload())

    def wrote(self, size_bytes: int) -> None:
        """Note what is written to a client that catches up or is sent snapshots."""
        self._written_bytes += size_bytes

    def is_full(self) -> bool:
        """Whether so much has been written behind an unanswered ping that nothing should be added."""
        return self._unanswered and self._written_bytes > WINDOW_BYTES and self._fastest_s < math.inf

    def is_unanswered(self) -> bool:
        """Whether a ping is on its way, or the answer to it."""
        return self._unanswered

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
        """Whether the client should be looked at often: it has been late within `WATCH_S`, or is new."""
        return now_s < self._late_to_s or now_s - self._opened_s < PING_S

    def _payload(self) -> bytes:
        return b"read-%d" % self._number

    def _is_late(self, took_s: float, now_s: float) -> bool:
        if self._fastest_s == math.inf or took_s <= min(max(LATE_S, 2 * self._fastest_s), LATEST_S):
            return False
        self._late_to_s = now_s + WATCH_S
        return True
