"""How busy the process is, from what a flush costs, and what is held back or refused because of it. Pure.

Each level is a metric and a notice to every client: tickers are flushed less often, then forming klines too; then new
connections are refused; last, clients are disconnected, who can resume elsewhere. Closed klines are never held back.
The level rises when flushes take too much of the time. It falls by one after a calm time in which the level below
would have been enough (hysteresis). That is an estimate, so a try that failed makes the next one wait longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from gateway.delivery.channel import Lane

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

HIGH = 0.9
"""Share of the time that flushes (lateness, ingest and flush together) may take on average before the level rises."""
CALM = 0.85
"""The share they would have to take at the level below, before the level falls."""
AVERAGE_S = 0.5
"""Flushes of held lanes alternate with empty ones: only an average says what they cost."""
DWELL_S = 0.5
CALM_S = 1.0
"""How long the level below must look sufficient, before it is tried."""
RELAPSE_S = 5.0
"""A level that holds for less than this was tried too early: the next try waits twice as long."""
CALM_MAX_S = 60.0
SHED_AFTER_S = 10.0
"""How long the last level may last before clients are disconnected."""


class Level(IntEnum):
    """Load levels, as the metric and the status page number them."""

    NORMAL = 0
    BUSY = 1
    SURGE = 2
    OVERLOAD = 3


@dataclass(frozen=True, slots=True)
class LanePeriods:
    """Flushes between two that include the lane, at a level."""

    ticker: int
    kline: int


LANE_PERIODS = {
    Level.NORMAL: LanePeriods(1, 1),
    Level.BUSY: LanePeriods(2, 1),
    Level.SURGE: LanePeriods(4, 2),
    Level.OVERLOAD: LanePeriods(8, 4),
}

_NONE: frozenset[Lane] = frozenset()


class Load:
    """`observe` once per flush; then `level` holds for the next one."""

    def __init__(self, interval_s: float) -> None:
        self.level = Level.NORMAL
        self._interval_s = interval_s
        self._weight = min(1.0, interval_s / AVERAGE_S)
        self._share = 0.0
        self._changed_s = 0.0
        self._calm_s = CALM_S
        self._fell_s = -RELAPSE_S
        self._calm_since_s: float | None = None
        self._overload_since_s: float | None = None

    @property
    def refuses(self) -> bool:
        """Whether new connections are refused."""
        return self.level is Level.OVERLOAD

    def sheds(self, now_s: float) -> bool:
        """Whether clients should be disconnected: nothing else has helped for `SHED_AFTER_S`."""
        return self._overload_since_s is not None and now_s - self._overload_since_s >= SHED_AFTER_S

    def observe(self, busy_s: float, now_s: float) -> bool:
        """Take what a flush cost in all; returns whether the level has changed."""
        # One flush that took as long as many (a frozen machine) must not count as many.
        self._share += self._weight * (min(busy_s / self._interval_s, 2.0) - self._share)
        before = self.level
        if self._share > HIGH:
            self._calm_since_s = None
            if now_s - self._changed_s >= DWELL_S and before < Level.OVERLOAD:
                self._go(Level(before + 1), now_s)
        elif before > Level.NORMAL and self._share * _ratio(before, Level(before - 1)) < CALM:
            if self._calm_since_s is None:
                self._calm_since_s = now_s
            elif now_s - self._calm_since_s >= self._calm_s:
                self._go(Level(before - 1), now_s)
        else:
            self._calm_since_s = None
        return self.level is not before

    def _go(self, level: Level, now_s: float) -> None:
        if level < self.level:
            self._fell_s = now_s
        elif now_s - self._fell_s < RELAPSE_S:
            self._calm_s = min(self._calm_s * 2, CALM_MAX_S)
        else:
            self._calm_s = CALM_S
        # The effect of the new level on the average is known: without it one rise would cause the next.
        self._share *= _ratio(self.level, level)
        self.level = level
        self._changed_s = now_s
        self._calm_since_s = None
        self._overload_since_s = now_s if level is Level.OVERLOAD else None

    def held_lanes(self, flush_number: int) -> AbstractSet[Lane]:
        """The lanes whose changes wait at this flush."""
        periods = LANE_PERIODS[self.level]
        if self.level is Level.NORMAL:
            return _NONE
        lanes = ((Lane.TICKER, periods.ticker), (Lane.KLINE, periods.kline))
        return {lane for lane, period in lanes if flush_number % period}


def _ratio(current: Level, other: Level) -> float:
    """How much more work the average flush is at another level."""
    return LANE_PERIODS[current].ticker / LANE_PERIODS[other].ticker
