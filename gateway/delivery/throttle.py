"""How often a session is served: slower when it does not keep up, faster again after a calm time.

A session misses a beat when bytes of an earlier one are still in user space. A hiccup is not slowness: it takes
`MISSES_TO_SLOW` beats in a row. Going back takes a calm time on every rung, so that nobody flaps (hysteresis).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.delivery.hub import TIER_PERIODS

if TYPE_CHECKING:
    from gateway.delivery.session import Session

MISSES_TO_SLOW = 3
CALM_S = 5.0


UNSENT_SLOW_BYTES = 8192
"""A kernel that holds more than this for a client is being read slower than it is written to."""


def rungs(session: Session) -> int:
    """How many rungs a session is slower than it wants."""
    return max(0, session.tier - session.floor)


def budget(session: Session, budget_bytes: int) -> int:
    """What one flush may write: half for every rung the session is slower than it wants.

    A full budget would take a slow client many seconds to read, and a closed kline would wait behind all of it.
    """
    return budget_bytes >> rungs(session)


def unsent_max(session: Session) -> int:
    """What the kernel may still hold for a session that is behind when more is written to it. The slower it reads, the
    less: what it gets then is old by as much as lies in front of it."""
    return UNSENT_SLOW_BYTES >> rungs(session)


class Allowance:
    """Bytes a client wants to be sent at most, on average: a bucket that fills by the clock.

    It may be overdrawn by one flush, which then takes time to pay back; so a flush is never cut, only put off, and what
    goes out in the end is the newest.
    """

    __slots__ = ("_filled_s", "_left", "bytes_per_min")

    def __init__(self, bytes_per_min: int) -> None:
        self.bytes_per_min = bytes_per_min
        self._left = 0.0
        self._filled_s: float | None = None

    def has_any(self, now_s: float) -> bool:
        """Whether something may be sent now."""
        if self._filled_s is not None:
            earned = (now_s - self._filled_s) * self.bytes_per_min / 60
            # What was not used within a second is gone: a quiet minute must not be followed by a burst.
            self._left = min(self._left + earned, self.bytes_per_min / 60)
        self._filled_s = now_s
        return self._left >= 0

    def spend(self, size_bytes: int) -> None:
        self._left -= size_bytes


def tier_for_rate(max_rate: float, tick_ms: int) -> int:
    """The fastest tier that serves at most `max_rate` times a second; the slowest one if none does. 0: no limit."""
    if max_rate <= 0:
        return 0
    for tier, period in enumerate(TIER_PERIODS):
        if period * tick_ms * max_rate >= 1000:
            return tier
    return len(TIER_PERIODS) - 1


def missed(session: Session, now_s: float) -> int:
    """Note a beat the session could not take; returns the tier it should be in."""
    if session.stalled_since_s is None:
        session.stalled_since_s = now_s
    session.misses += 1
    session.calm_since_s = now_s
    if session.misses < MISSES_TO_SLOW:
        return session.tier
    session.misses = 0
    return min(session.tier + 1, len(TIER_PERIODS) - 1)


def taken(session: Session) -> None:
    """Note that the session took what it was given."""
    session.misses = 0
    session.stalled_since_s = None


def calmed(session: Session, now_s: float) -> int:
    """The tier a session that keeps up should be in: one rung faster after a calm time, never beyond what it wants."""
    is_calm = session.stalled_since_s is None and now_s - session.calm_since_s >= CALM_S
    if session.tier > session.floor and is_calm:
        session.calm_since_s = now_s
        return session.tier - 1
    return max(session.tier, session.floor)
