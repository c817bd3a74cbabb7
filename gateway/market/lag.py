"""How far a source is behind, by what it has sent. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model.interval import Interval
    from gateway.model.kline import Kline


def lag_of(kline: Kline, interval: Interval, now_ms: int) -> int:
    """By how many ms the source is behind `now_ms`, at least, if this is its newest kline."""
    if kline.closed:
        # The next one may not have closed yet.
        return max(0, now_ms - interval.close_time(kline.close_time_ms + 1))
    # An event time outside of the kline says when it was sent, not when its prices were.
    return max(0, now_ms - min(max(kline.event_time_ms, kline.open_time_ms), kline.close_time_ms))
