"""How busy the process is, from what a beat costs, and what it does about it. Pure.

Rungs, each a metric and a notice to every client: beats get longer for tickers, then for forming klines too; then no
new connections are taken; last, clients are sent away who can resume elsewhere. Closed klines are never held back.
Up when beats take too much of the time, down one rung after a calm time in which the rung below would have done
(hysteresis); what that looks like is an estimate, so a try that failed makes the next one wait longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from gateway.delivery.channel import Lane

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

HIGH = 0.9
"""Part of the time that beats (lateness, ingest and flush together) may take on average before the level rises."""
CALM = 0.85
"""What they would have to take on the rung below, before the level falls."""
AVERAGE_S = 0.5
"""Beats of held lanes come in turns with empty ones: only an average says what they cost."""
DWELL_S = 0.5
CALM_S = 1.0
"""How long it must look as if the rung below would do, before it is tried."""
RELAPSE_S = 5.0
"""A rung that does not hold so long was tried too early: the next try waits twice as long."""
CALM_MAX_S = 60.0
SHED_AFTER_S = 10.0
"""How long the last rung may last before clients are sent away."""


class Level(IntEnum):
    NORMAL = 0
    BUSY = 1
    SURGE = 2
    OVERLOAD = 3


@dataclass(frozen=True, slots=True)
class LanePeriods:
    """Ticks between two beats of each lane at a level."""

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
    """`observe` once per tick; then `level` holds for the next one."""

    def __init__(self, tick_s: float) -> None:
        self.level = Level.NORMAL
        self._tick_s = tick_s
        self._weight = min(1.0, tick_s / AVERAGE_S)
        self._share = 0.0
        self._changed_s = 0.0
        self._calm_s = CALM_S
        self._fell_s = -RELAPSE_S
        self._calm_since_s: float | None = None
        self._overload_since_s: float | None = None

    @property
    def refuses(self) -> bool:
        """Whether new connections are turned away."""
        return self.level is Level.OVERLOAD

    def sheds(self, now_s: float) -> bool:
        """Whether clients should be sent away: nothing else has helped for long."""
        return self._overload_since_s is not None and now_s - self._overload_since_s >= SHED_AFTER_S

    def observe(self, busy_s: float, now_s: float) -> bool:
        """Take what a tick cost in all; says whether the level has changed."""
        # One tick that took many (a frozen machine) must not count for more than it shows.
        self._share += self._weight * (min(busy_s / self._tick_s, 2.0) - self._share)
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
        # What the new pace will make of the average is known: without it one rise would bring the next.
        self._share *= _ratio(self.level, level)
        self.level = level
        self._changed_s = now_s
        self._calm_since_s = None
        self._overload_since_s = now_s if level is Level.OVERLOAD else None

    def held(self, tick: int) -> AbstractSet[Lane]:
        """The lanes whose news waits at this tick."""
        pace = LANE_PERIODS[self.level]
        if self.level is Level.NORMAL:
            return _NONE
        return {lane for lane, period in ((Lane.TICKER, pace.ticker), (Lane.KLINE, pace.kline)) if tick % period}


def _ratio(here: Level, there: Level) -> float:
    """How much more work a beat's average is on another rung."""
    return LANE_PERIODS[here].ticker / LANE_PERIODS[there].ticker
