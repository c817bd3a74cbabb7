"""Open times as other formats write them: in whatever unit, because theirs need not be ms. Pure."""

from __future__ import annotations

from gateway.model.feed_error import FeedError
from gateway.model.interval import INTERVALS
from gateway.model.timestamps import time_of


def open_time_of(value: object, interval: str) -> int:
    """The open time in ms that a value stands for. Raises `FeedError` where it is missing or none of this interval."""
    if value is None:
        raise FeedError("missing_field", "open time")
    found = time_of(value)
    if found is None:
        raise FeedError("bad_time", repr(value))
    if INTERVALS[interval].open_time(found) != found:
        raise FeedError("misaligned_time", f"{found} is no open time of {interval}")
    return found
