"""Checks that prices move again after every fault. Pure; used during runs and on recordings.

While a fault lasts that keeps prices from moving, and for `GRACE_S` after it, nothing is expected. The rest is calm
time: no symbol may stand still for more than `STILL_S` of it, however many faults interrupt it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.report.recording import FaultBegan, FaultEnded, Newest

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.report.recording import MovementEvent

FAULTS = {"frozen": "a symbol's price did not move though nothing kept it from moving"}

GRACE_S = 2.0
"""For a new connection, and for reading what is stored."""
STILL_S = 8.0
"""Longer than it takes to replace a connection that is silent."""


class MovementChecker:
    """Takes events in the order of their times, and reports each symbol that stands still, once for each time."""

    def __init__(self, report: Callable[[str, str], None]) -> None:
        self._report = report
        self._stopping: set[str] = set()
        self._at_s = 0.0
        self._calm_from_s = 0.0
        self._calm_s = 0.0
        """Calm time up to the last event."""
        self._moved: dict[str, tuple[float, float]] = {}
        """Symbol -> its newest price, and the calm time when that came."""
        self._ended = "before any fault was over"
        self.checked = 0
        """Prices compared with the ones before."""

    def check(self, event: MovementEvent) -> None:
        """Check one event."""
        self._pass_time(event.at_s)
        match event:
            case FaultBegan(_, name, stops):
                if stops:
                    self._stopping.add(name)
            case FaultEnded(at_s, name):
                self._ended = f"after: {name}"
                if name in self._stopping:
                    self._stopping.discard(name)
                    self._calm_from_s = at_s + GRACE_S
            case Newest(_, prices):
                for symbol, price in prices.items():
                    self._compare(symbol, price)

    def _pass_time(self, at_s: float) -> None:
        if not self._stopping:
            self._calm_s += max(0.0, at_s - max(self._at_s, self._calm_from_s))
        self._at_s = at_s

    def _compare(self, symbol: str, price: float) -> None:
        self.checked += 1
        before, moved_s = self._moved.get(symbol, (0.0, self._calm_s))
        if price != before:
            self._moved[symbol] = price, self._calm_s
        elif self._calm_s - moved_s > STILL_S:
            self._report("frozen", f"{symbol} stands at {price} at {self._at_s:.1f} s, {self._ended}")
            self._moved[symbol] = price, self._calm_s
