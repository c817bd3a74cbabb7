"""How busy the process is, from what a beat costs, and what it does about it. Pure.

Rungs, each a metric and a notice to every client: beats get longer for tickers, then for forming klines too; then no
new connections are taken; last, clients are sent away who can resume elsewhere. Closed klines are never held back.
Up after a few bad beats, down one rung after a calm time (hysteresis).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from gateway.hub.channel import Lane

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

HIGH = 1.0
"""Part of a tick that a beat (its lateness, ingest and flush together) may take before it counts as bad."""
LOW = 0.6
BAD_TICKS = 5
CALM_S = 1.0
SHED_AFTER_S = 10.0
"""How long the last rung but one may last before clients are sent away."""


class Level(IntEnum):
    NORMAL = 0
    BUSY = 1
    SURGE = 2
    OVERLOAD = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """Ticks between two beats of each lane at a level."""

    ticker: int
    kline: int


PACES = {
    Level.NORMAL: Pace(1, 1),
    Level.BUSY: Pace(2, 1),
    Level.SURGE: Pace(4, 2),
    Level.OVERLOAD: Pace(8, 4),
}

_NONE: frozenset[Lane] = frozenset()


class Load:
    """`observe` once per tick; then `level` holds for the next one."""

    def __init__(self, tick_s: float) -> None:
        self.level = Level.NORMAL
        self._tick_s = tick_s
        self._bad_ticks = 0
        self._calm_since_s = 0.0
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
        share = busy_s / self._tick_s
        before = self.level
        if share > HIGH:
            self._bad_ticks += 1
            self._calm_since_s = now_s
            if self._bad_ticks >= BAD_TICKS and self.level < Level.OVERLOAD:
                self.level = Level(self.level + 1)
                self._bad_ticks = 0
        else:
            self._bad_ticks = 0
            if share > LOW:
                self._calm_since_s = now_s
            elif self.level > Level.NORMAL and now_s - self._calm_since_s >= CALM_S:
                self.level = Level(self.level - 1)
                self._calm_since_s = now_s
        if self.level is not Level.OVERLOAD:
            self._overload_since_s = None
        elif self._overload_since_s is None:
            self._overload_since_s = now_s
        return self.level is not before

    def held(self, tick: int) -> AbstractSet[Lane]:
        """The lanes whose news waits at this tick."""
        pace = PACES[self.level]
        if self.level is Level.NORMAL:
            return _NONE
        return {lane for lane, period in ((Lane.TICKER, pace.ticker), (Lane.KLINE, pace.kline)) if tick % period}
