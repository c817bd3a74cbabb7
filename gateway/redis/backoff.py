"""The schedule of waits between attempts. Pure: whoever uses it reports the failures and does the waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Backoff:
    """Each failure in a row takes the next wait of the schedule; the last wait repeats."""

    __slots__ = ("_failures", "_waits_s")

    def __init__(self, waits_s: Sequence[float]) -> None:
        """`waits_s`: at least one wait, in seconds."""
        self._waits_s = waits_s
        self._failures = 0

    def next_wait_s(self) -> float:
        """Count one more failure and return how long to wait after it, in seconds."""
        wait_s = self._waits_s[min(self._failures, len(self._waits_s) - 1)]
        self._failures += 1
        return wait_s

    def reset(self) -> None:
        """Call after a success: the next failure takes the first wait again."""
        self._failures = 0
