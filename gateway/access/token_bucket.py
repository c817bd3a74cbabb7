"""Token buckets. A bucket is one number: the time at which it will be full again (GCRA, ITU-T I.371, annex A). Pure.

Times are whole microseconds, so that exactly `burst` requests pass: sums of fractions would lose one.
"""

from __future__ import annotations

from collections import OrderedDict
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
    """The result of taking from a bucket."""

    full_us: int
    """When the bucket will be full; to be passed to the next `take`. A refusal leaves it unchanged."""
    left: int
    """Tokens left."""
    wait_us: int
    """Time until the bucket will hold what was asked for; 0 when it has been taken."""


def take(full_us: int, now_us: int, rate: Rate, cost: int = 1) -> Taken:
    """Take `cost` tokens. A new bucket has `full_us` 0. A cost above the burst passes only from a full bucket."""
    capacity_us = rate.interval_us * rate.burst
    begun_us = max(full_us, now_us)
    after_us = begun_us + min(rate.interval_us * cost, capacity_us)
    wait_us = after_us - now_us - capacity_us
    if wait_us > 0:
        return Taken(full_us, (capacity_us - (begun_us - now_us)) // rate.interval_us, wait_us)
    return Taken(after_us, -wait_us // rate.interval_us, 0)


def charge(full_us: int, now_us: int, rate: Rate, cost: int) -> int:
    """Take `cost` tokens even if they are not there, down to a debt of one full bucket; returns the new `full_us`."""
    capacity_us = rate.interval_us * rate.burst
    return max(full_us, min(max(full_us, now_us) + rate.interval_us * cost, now_us + 2 * capacity_us))


class TokenBuckets:
    """One bucket per key; only the keys used last are kept.

    A dropped key has a full bucket again. An attacker gains by that only with more addresses than are kept, and with so
    many addresses each has a full bucket anyway. Memory is bounded.
    """

    def __init__(self, max_keys: int) -> None:
        """`max_keys`: at some 200 bytes each."""
        self._max_keys = max_keys
        self._full_us: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_us)

    def take(self, key: str, now_us: int, rate: Rate, cost: int = 1) -> Taken:
        """Take `cost` tokens from a key's bucket, if it holds them."""
        taken = take(self._full_us.get(key, 0), now_us, rate, cost)
        self._store(key, taken.full_us)
        return taken

    def charge(self, key: str, now_us: int, rate: Rate, cost: int) -> None:
        """Take `cost` tokens from a key's bucket even if it does not hold them."""
        self._store(key, charge(self._full_us.get(key, 0), now_us, rate, cost))

    def _store(self, key: str, full_us: int) -> None:
        self._full_us[key] = full_us
        self._full_us.move_to_end(key)
        if len(self._full_us) > self._max_keys:
            self._full_us.popitem(last=False)
