"""The token bucket, as the one number it takes: when a bucket in use will be full again (GCRA, ITU-T I.371). Pure.

Times are whole microseconds, so that exactly as many pass as the burst says: sums of fractions would lose one.
"""

from __future__ import annotations

from typing import NamedTuple

SECOND_US = 1_000_000


class Rate(NamedTuple):
    """`burst` at once, and one more every `interval_us`."""

    interval_us: int
    burst: int

    @classmethod
    def per_second(cls, rate: float, burst: int) -> Rate:
        return cls(max(1, round(SECOND_US / rate)), burst)

    @classmethod
    def per_minute(cls, rate: float, burst: int) -> Rate:
        return cls(max(1, round(60 * SECOND_US / rate)), burst)


class Taken(NamedTuple):
    """What a bucket answered. `wait_us`: until it will have what was asked for; 0 when it has been taken."""

    full_us: int
    """To be kept for the next time; unchanged by a refusal."""
    left: int
    wait_us: int


def take(full_us: int, now_us: int, rate: Rate, cost: int = 1) -> Taken:
    """Take `cost` from a bucket; a new one has `full_us` 0. What costs more than the burst passes from a full one."""
    capacity_us = rate.interval_us * rate.burst
    begun_us = max(full_us, now_us)
    after_us = begun_us + min(rate.interval_us * cost, capacity_us)
    wait_us = after_us - now_us - capacity_us
    if wait_us > 0:
        return Taken(full_us, (capacity_us - (begun_us - now_us)) // rate.interval_us, wait_us)
    return Taken(after_us, -wait_us // rate.interval_us, 0)


def charge(full_us: int, now_us: int, rate: Rate, cost: int) -> int:
    """When a bucket will be full that `cost` is taken from whatever it holds: it may owe as much as it can hold."""
    capacity_us = rate.interval_us * rate.burst
    return max(full_us, min(max(full_us, now_us) + rate.interval_us * cost, now_us + 2 * capacity_us))
