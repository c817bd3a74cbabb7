"""Whether to come back, and when. Pure: luck and times are passed in.

Rules: PROTOCOL.md, "Reconnecting without a hole" and the table of close codes.
"""

from __future__ import annotations

FIRST_S = 0.5
MOST_S = 30.0
STABLE_S = 10.0
"""A connection that lived so long was a good one: the next failure starts counting anew."""

_FINAL_CLOSE_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 4002, 4004})
_OVERLOADED = 1013
_OVERLOADED_FAILURES = 4


def backoff_s(failures: int, luck: float) -> float:
    """Full jitter: a random time up to 0.5 s, doubled with every failure up to 30 s. `luck` is in [0, 1)."""
    return luck * min(MOST_S, FIRST_S * 2.0 ** min(failures, 16))


def is_final(close_code: int | None) -> bool:
    """Whether the gateway's close code says not to come back. None: the connection broke without one."""
    return close_code in _FINAL_CLOSE_CODES


class Patience:
    """Counts failures in a row."""

    def __init__(self) -> None:
        self.failures = 0

    def wait_s(self, lived_s: float, close_code: int | None, retry_after_s: float, luck: float) -> float:
        """How long to wait after a connection that lived so long; `retry_after_s` is the gateway's wish, or 0."""
        if lived_s >= STABLE_S:
            self.failures = 0
        if close_code == _OVERLOADED:
            self.failures = max(self.failures, _OVERLOADED_FAILURES)
        wait_s = retry_after_s + backoff_s(self.failures, luck)
        self.failures += 1
        return wait_s
