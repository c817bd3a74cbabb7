"""How often one session is served: slower when it does not keep up, faster again after a calm time. Pure.

A session misses a flush when bytes of an earlier one are still in user space. One miss is a hiccup: `MISSES_TO_SLOW`
in a row move the session to the next slower tier. Moving back takes a calm time for each tier (hysteresis).
"""

from __future__ import annotations

import math

TIER_RATES = (math.inf, math.inf, 60.0, 30.0, 15.0, 8.0, 4.0, 2.0, 1.0)
"""Writes a second that a session gets at most, by tier. The first two have no rate of their own: `FAST` is flushed at
once, `DEFAULT` as often as the load allows (`flush_schedule.py`)."""

TIER_INTERVALS_S = tuple([1 / rate for rate in TIER_RATES])

FAST, DEFAULT = 0, 1
"""The tier of those who ask for it, and the one in which every session begins."""

FAST_LATENCY_MS = 1
"""A client that wants its updates within so many milliseconds is served by the fast tier."""

SLOW = 4
"""The fastest tier whose sessions are taken to read slowly if they are in it, or in a slower one, unwillingly."""

MISSES_TO_SLOW = 3
CALM_S = 5.0

UNSENT_SLOW_BYTES = 8192
"""A kernel that holds more than this for a client is being read slower than it is written to."""


class Allowance:
    """Bytes a client wants to be sent at most, on average: a bucket that fills by the clock.

    One flush may overdraw it and then takes time to pay back. So a flush is never cut, only put off, and what is
    written in the end is the newest.
    """

    __slots__ = ("_filled_s", "_left", "_spent_s", "bytes_per_min")

    def __init__(self, bytes_per_min: int) -> None:
        self.bytes_per_min = bytes_per_min
        self._left = 0.0
        self._filled_s: float | None = None
        self._spent_s = 0.0

    def has_any(self, now_s: float) -> bool:
        """Whether something may be sent now."""
        if self._filled_s is not None:
            earned = (now_s - self._filled_s) * self.bytes_per_min / 60
            # What was not used within a second is lost: a quiet minute must not be followed by a burst.
            self._left = min(self._left + earned, self.bytes_per_min / 60)
        self._filled_s = now_s
        return self._left >= 0

    def spend(self, size_bytes: int, now_s: float | None = None) -> None:
        """Note what has been sent; `now_s`: with a flush at that time."""
        self._left -= size_bytes
        if now_s is not None:
            self._spent_s = now_s

    def is_quiet(self, now_s: float, seconds: float) -> bool:
        """Whether nothing has been sent with a flush for so long."""
        return now_s - self._spent_s >= seconds


class Pace:
    """The tier of one session, the limits that its client asked for, and how well it keeps up.

    Others read the fields and call the methods; only the methods write the fields.
    """

    __slots__ = ("_calm_since_s", "_misses", "allowance", "fast", "fastest_tier", "max_rate", "stalled_since_s", "tier")

    def __init__(self) -> None:
        self.tier = DEFAULT
        self.max_rate = 0.0
        """Writes a second that the client wants at most; 0: no limit."""
        self.fast = False
        """Whether the client is sent its updates at once, as it wants, but for its `max_rate`."""
        self.fastest_tier = DEFAULT
        """The tier that the two wishes make: the session is never served faster."""
        self.allowance: Allowance | None = None
        self.stalled_since_s: float | None = None
        """When the session missed the first of the flushes that it has missed in a row."""
        self._misses = 0
        self._calm_since_s = 0.0

    @property
    def tiers_slowed(self) -> int:
        """By how many tiers the session is slower than its client wants, from `SLOW` on: faster ones are no burden."""
        return max(0, self.tier - max(SLOW, self.fastest_tier))

    @property
    def unsent_max_bytes(self) -> int:
        """What the kernel may still hold for a session that is catching up when more is written to it. The slower the
        client reads, the less: what it gets then is as old as all that lies in front of it."""
        return UNSENT_SLOW_BYTES >> self.tiers_slowed

    def budget_bytes(self, most_bytes: int) -> int:
        """What one flush may write: `most_bytes`, halved for each tier the session is slower than its client wants.

        A full budget takes a slow client many seconds to read, and a closed kline would wait behind all of it.
        """
        return most_bytes >> self.tiers_slowed

    def set_tier(self, tier: int) -> None:
        self.tier = tier

    def limit_rate(self, max_rate: float) -> int:
        """Write at most `max_rate` times a second (0: no limit); returns the tier that the session should be in."""
        self.max_rate = max_rate
        return self._go_by_wishes()

    def want_fast(self, *, fast: bool) -> int:
        """Write every update at once, as far as `max_rate` allows; returns the tier that the session should be in."""
        self.fast = fast
        return self._go_by_wishes()

    def limit_bytes(self, bytes_per_min: int) -> None:
        """Send at most so many bytes a minute; 0: no limit."""
        self.allowance = Allowance(bytes_per_min) if bytes_per_min else None

    def miss(self, now_s: float) -> int:
        """Note a flush that the session could not take; returns the tier that it should be in."""
        if self.stalled_since_s is None:
            self.stalled_since_s = now_s
        self._misses += 1
        self._calm_since_s = now_s
        if self._misses < MISSES_TO_SLOW:
            return self.tier
        self._misses = 0
        return min(self.tier + 1, len(TIER_RATES) - 1)

    def keep_up(self) -> None:
        """Note that the session took what it was given."""
        self._misses = 0
        self.stalled_since_s = None

    def calmed_tier(self, now_s: float) -> int:
        """The tier that the session should be in: one faster after a calm time, never faster than its client wants."""
        is_calm = self.stalled_since_s is None and now_s - self._calm_since_s >= CALM_S
        if self.tier > self.fastest_tier and is_calm:
            self._calm_since_s = now_s
            return self.tier - 1
        return max(self.tier, self.fastest_tier)

    def _go_by_wishes(self) -> int:
        fastest = tier_for_rate(self.max_rate)
        if self.fast and fastest == DEFAULT:
            fastest = FAST
        # A session that is slow stays slow; one that was held back by its own wish only goes by the new one.
        tier = fastest if self.tier <= self.fastest_tier else max(self.tier, fastest)
        self.fastest_tier = fastest
        return tier


def tier_for_rate(max_rate: float) -> int:
    """The fastest tier that serves at most `max_rate` times a second; the slowest one if none does. 0: no limit."""
    if max_rate <= 0:
        return DEFAULT
    slower = range(DEFAULT + 1, len(TIER_RATES))
    return next((tier for tier in slower if TIER_RATES[tier] <= max_rate), len(TIER_RATES) - 1)
