"""Why something that the collector has written is refused, or is used although it is odd."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    OnOdd = Callable[["Odd", str], None]


class Odd(StrEnum):
    """Why a message that is used is odd; the values label a counter."""

    BAD_FIELD = "bad_field"
    """An optional field cannot be read: it counts as absent."""
    BAD_TIME = "bad_time"
    """The event time cannot be read: the message is dated by its arrival."""
    TIME_UNIT = "time_unit"
    """A time is not in ms, and its magnitude tells the unit."""
    WIDENED = "widened"
    """Open or close of a whole kline lies outside of its low and high, which are widened to hold them."""
    FUTURE_TIME = "future_time"
    """The event time lies in the future: the message is dated by its arrival."""
    PRICE_JUMP = "price_jump"
    """The price differs from the one before by a large factor."""


def ignore(_: Odd, __: str) -> None:
    """For callers that count nothing."""


class FeedError(Exception):
    """A payload cannot be used. `reason` is one of a closed set, so that it can label a counter."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
