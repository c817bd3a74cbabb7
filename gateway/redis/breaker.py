"""A circuit breaker: while the server is unavailable, requests fail at once instead of waiting for a timeout. Pure.

    closed --(`failures` within `window_s`)--> open --(wait over)--> half open: one probe --ok--> closed
                                                 ^-------------failed, longer wait------'

Invariant: while not closed, at most one request at a time is let through, and none before the wait is over.
Each request that is let through reports back exactly once: `succeeded`, `failed` or `abandoned`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Breaker:
    """The state of one circuit. Times are seconds of a monotonic clock."""

    __slots__ = ("_failed_at", "_failures", "_open_until_s", "_probing", "_rounds", "_waits_s", "_window_s")

    def __init__(self, waits_s: Sequence[float], failures: int = 5, window_s: float = 30.0) -> None:
        """`waits_s`: how long the circuit stays open, per failed probe in a row; the last one repeats."""
        self._waits_s = waits_s
        self._failures = failures
        self._window_s = window_s
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._rounds = 0
        self._open_until_s = 0.0
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether every request is let through."""
        return self._rounds == 0

    def allows(self, now_s: float) -> bool:
        """Whether a request may go out now; `True` takes the probe's place when half open."""
        if self.closed:
            return True
        if self._probing or now_s < self._open_until_s:
            return False
        self._probing = True
        return True

    def retry_after_s(self, now_s: float) -> float:
        """Seconds until the next request may be let through; 0 for at once."""
        return 0.0 if self.closed else max(0.0, self._open_until_s - now_s)

    def succeeded(self) -> None:
        """A request was answered, the probe or an earlier one: the server is available, the circuit closes."""
        if not self.closed:
            self._failed_at.clear()
            self._rounds = 0
            self._probing = False

    def failed(self, now_s: float) -> None:
        """A request was not answered."""
        if self.closed:
            self._failed_at.append(now_s)
            if len(self._failed_at) == self._failures and now_s - self._failed_at[0] <= self._window_s:
                self._open(now_s)
        elif self._probing:
            self._open(now_s)
        # Else the request was sent before the circuit opened, which says nothing new.

    def abandoned(self) -> None:
        """The request was cancelled: the next one may be the probe."""
        self._probing = False

    def _open(self, now_s: float) -> None:
        self._open_until_s = now_s + self._waits_s[min(self._rounds, len(self._waits_s) - 1)]
        self._rounds += 1
        self._probing = False
