"""Decides whether to reconnect, and when. Pure: random numbers and times are passed in.

Rules: PROTOCOL.md, "Reconnecting without a gap" and the table of close codes.
"""

from __future__ import annotations

FIRST_S = 0.5
MAX_S = 30.0
STABLE_S = 10.0
"""A connection that lasted this long counts as good: the next failure counts as the first."""

_FINAL_CLOSE_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 4002, 4004, 4007})
_OVERLOADED = 1013
_OVERLOADED_FAILURES = 4


def backoff_s(failures: int, jitter: float) -> float:
    """Full jitter: a random time up to 0.5 s, doubled with every failure up to 30 s. `jitter` is in [0, 1)."""
    return jitter * min(MAX_S, FIRST_S * 2.0 ** min(failures, 16))


def is_final(close_code: int | None) -> bool:
    """Whether the gateway's close code forbids reconnecting. None: the connection broke without a code."""
    return close_code in _FINAL_CLOSE_CODES


class ReconnectDelay:
    """Counts failures in a row and derives the time to wait from them."""

    def __init__(self) -> None:
        self.failures = 0

    def wait_s(
        self,
        connected_s: float,
        close_code: int | None,
        retry_after_s: float,
        jitter: float,
        planned_s: float | None = None,
    ) -> float:
        """How long to wait after a connection that lasted `connected_s` from the gateway's hello.

        `retry_after_s`: the least time that a refused handshake asked for, or 0. `jitter` is in [0, 1). `planned_s`:
        the time that the gateway gave before a planned end; each client gets its own, so nothing is added.
        """
        if connected_s >= STABLE_S:
            self.failures = 0
        if close_code == _OVERLOADED:
            self.failures = max(self.failures, _OVERLOADED_FAILURES)
        wait_s = retry_after_s + backoff_s(self.failures, jitter) if planned_s is None else planned_s
        self.failures += 1
        return wait_s
