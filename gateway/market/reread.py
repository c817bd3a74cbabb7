"""Which series must be read from the store again after messages may have been missed. Pure: no store, no clock.

The collector states the close time of the last closed kline of each series (`lastClosed`). That is trusted only as far
as it is confirmed: by the newest kline in memory, by no kline missing before it, and by the clock, which says that no
later one can have closed. Whatever else it says, and where it says nothing, the series is read.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.market.series import Series


class Reread(Enum):
    """What to do about a series."""

    SKIP = auto()
    CHECK = auto()
    """It is derived: read it only if the store has klines of its own."""
    READ = auto()


def judge(series: Series, last_closed_ms: int | None, now_ms: int, *, stated: bool) -> Reread:
    """Decide whether a series that has been read before must be read again.

    `last_closed_ms`: the close time that the collector states, `None` where it states none. `stated`: whether it states
    one of the series that this one is derived from.
    """
    if series.gap or series.waiting_since_ms is not None:
        return Reread.READ
    if series.derived_from:
        # Its klines are made from those of another series, which is read if need be.
        if last_closed_ms is None:
            return Reread.SKIP if stated else Reread.CHECK
        return Reread.CHECK
    return Reread.SKIP if _is_complete(series, last_closed_ms, now_ms) else Reread.READ


def _is_complete(series: Series, last_closed_ms: int | None, now_ms: int) -> bool:
    last, interval = series.closed.last, series.interval
    if last is None or last_closed_ms is None:
        return False
    # Collectors differ in whether a kline closes on its last millisecond or on the next one's first.
    if interval.open_time(last_closed_ms - 1) != last.open_time_ms:
        return False
    if interval.back(last.open_time_ms, len(series.closed) - 1) != series.closed.first_open_time_ms:
        return False
    return now_ms <= interval.close_time(interval.next_open(last.open_time_ms))
