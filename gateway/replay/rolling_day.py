"""The 24 h that end with the newest kline, as one kline: what a replayed ticker's figures are. Pure; exact decimals.

Adding a kline combines a few parts, not a day of them: whole hours stand for their klines, and of the hour that the day
begins in it is known for each kline what it and those after it make. The klines of the hours between are kept packed,
about 50 bytes each.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.archive.blocks import pack, unpack
from gateway.market.aggregate import combine
from gateway.model.interval import DAY_MS, HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.interval import Interval
    from gateway.model.kline import Kline


class _Hour(NamedTuple):
    packed: bytes
    total: Kline


class RollingDay:
    """Klines of one series, added in ascending order; those that open more than 24 h before the newest closes are
    dropped, but the newest never."""

    def __init__(self, part: Interval) -> None:
        """`part`: the interval of the klines."""
        self._part = part
        self._front: list[Kline] = []
        """What each kline of the first hour makes with those of that hour after it; the last one is where the day
        begins."""
        self._hours: deque[_Hour] = deque()
        self._middle: Kline | None = None
        """The hours combined; `None`: they have changed, or there are none."""
        self._recent: list[Kline] = []
        """The klines of the newest hour."""
        self._recent_total: Kline | None = None

    def add(self, kline: Kline) -> Kline:
        """Add the next closed kline; returns the day that ends with it."""
        if self._recent and _hour(self._recent[0]) != _hour(kline):
            assert self._recent_total is not None
            self._hours.append(_Hour(pack(self._recent), self._recent_total))
            self._recent, self._recent_total, self._middle = [], None, None
        self._recent.append(kline)
        self._recent_total = kline if self._recent_total is None else _combined((self._recent_total, kline))
        self._drop_before(kline.close_time_ms + 1 - DAY_MS)
        if self._middle is None and self._hours:
            self._middle = _combined([hour.total for hour in self._hours])
        parts = (*self._front[-1:], self._middle, self._recent_total)
        return _combined([part for part in parts if part is not None])

    def _drop_before(self, begin_ms: int) -> None:
        while self._front and self._front[-1].open_time_ms < begin_ms:
            self._front.pop()
        while not self._front and self._hours and self._hours[0].total.open_time_ms < begin_ms:
            self._middle = None
            for kline in reversed(unpack(self._hours.popleft().packed, self._part)):
                if kline.open_time_ms >= begin_ms:
                    self._front.append(_combined((kline, *self._front[-1:])))


def _hour(kline: Kline) -> int:
    return kline.open_time_ms // HOUR_MS


def _combined(parts: Sequence[Kline]) -> Kline:
    return combine(parts, parts[0].open_time_ms, parts[-1].close_time_ms)
