"""Decides how many turns are due, so that a rate is kept on average, and counts the rest. Pure: takes the time."""

from __future__ import annotations

_NS = 1_000_000_000
# Turns missed in a stall are not made up in one burst, which would measure the feeder and not the gateway.
_DEBT_NS = _NS // 4


class RateSchedule:
    """A rate of turns. Turns that fell due more than a quarter of a second ago are given up and counted."""

    __slots__ = ("_done", "_rate", "_start_ns", "asked", "given_up", "worst_late_ns")

    def __init__(self, now_ns: int, rate: float) -> None:
        self._start_ns = now_ns
        self._rate = rate
        self._done = 0
        self.asked = 0
        self.given_up = 0
        self.worst_late_ns = 0

    def set_rate(self, now_ns: int, rate: float) -> None:
        self._start_ns = now_ns
        self._rate = rate
        self._done = 0

    def take(self, now_ns: int, most: int) -> int:
        """Turns to do now, at most `most`; they count as done."""
        due = int((now_ns - self._start_ns) * self._rate / _NS) - self._done
        if due <= 0:
            return 0
        late_ns = int((due - 1) * _NS / self._rate)
        self.worst_late_ns = max(self.worst_late_ns, late_ns)
        lost = max(0, due - max(1, int(_DEBT_NS * self._rate / _NS)))
        taken = min(due - lost, most)
        self._done += lost + taken
        self.asked += lost + taken
        self.given_up += lost
        return taken

    def wait_s(self, now_ns: int) -> float:
        """Seconds until the next turn is due; infinite without a rate."""
        if not self._rate:
            return float("inf")
        return max(0.0, (self._start_ns - now_ns) / _NS + (self._done + 1) / self._rate)
