"""A circuit breaker: while the other side is away, requests fail at once instead of each waiting for a timeout. Pure.

    closed --(`failures` within `window_s`)--> open --(wait over)--> half open: one probe --ok--> closed
                                                 ^-------------failed, longer wait------'

Invariant: while not closed, at most one request at a time is let through, and none before the wait is over.
Whoever is let through reports back exactly once: `succeeded`, `failed` or `abandoned`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Breaker:
    __slots__ = ("_failed_at", "_failures", "_open_until_s", "_probing", "_rounds", "_waits_s", "_window_s")

    def __init__(self, waits_s: Sequence[float], failures: int = 5, window_s: float = 30.0) -> None:
        """`waits_s`: how long it stays open, per failed probe in a row; the last one repeats."""
        self._waits_s = waits_s
        self._failures = failures
        self._window_s = window_s
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._rounds = 0
        self._open_until_s = 0.0
        self._probing = False

    @property
    def closed(self) -> bool:
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
        """When it makes sense to ask again; 0 when at once."""
        return 0.0 if self.closed else max(0.0, self._open_until_s - now_s)

    def succeeded(self) -> None:
        """An answer came, from the probe or from one under way when the circuit opened: the other side is back."""
        if not self.closed:
            self._failed_at.clear()
            self._rounds = 0
            self._probing = False

    def failed(self, now_s: float) -> None:
        if self.closed:
            self._failed_at.append(now_s)
            if len(self._failed_at) == self._failures and now_s - self._failed_at[0] <= self._window_s:
                self._open(now_s)
        elif self._probing:
            self._open(now_s)
        # Else one that was under way when the circuit opened: it says nothing new.

    def abandoned(self) -> None:
        """The request was cancelled: no verdict, and the probe's place is free again."""
        self._probing = False

    def _open(self, now_s: float) -> None:
        self._open_until_s = now_s + self._waits_s[min(self._rounds, len(self._waits_s) - 1)]
        self._rounds += 1
        self._probing = False
