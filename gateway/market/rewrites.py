"""Which clients may have been away when a closed kline was corrected, or arrived late. Pure.

A client that comes back says only which closed kline it has as its newest. One that was there when a kline before that
changed was told; one that was not would keep the old value, or the hole, for good.
"""

from __future__ import annotations

from collections import deque

KEPT = 64
"""Rewrites that are remembered of a series. Whoever was away for longer than these took is not told."""


class Rewrites:
    """The newest changes of closed klines of one series, each with how far the series was at that time."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        self._noted: deque[tuple[int, int]] | None = None

    def note(self, open_time_ms: int, newest_ms: int) -> None:
        """A kline changed while the one that opens at `newest_ms` was the newest closed one."""
        if self._noted is None:  # Of most series nothing ever changes.
            self._noted = deque(maxlen=KEPT)
        self._noted.append((open_time_ms, newest_ms))

    def may_have_missed(self, cursor_ms: int) -> bool:
        """Whether a client whose newest closed kline opens at `cursor_ms` may hold a kline that has changed since.

        A newer cursor was reached after the change, an older one is before all that changed.
        """
        return any(open_time_ms <= cursor_ms <= newest_ms for open_time_ms, newest_ms in self._noted or ())
