"""What an update has done to a series."""

from __future__ import annotations

from enum import IntEnum


class Change(IntEnum):
    """What an update did to a series; the greater value includes the lesser."""

    UNCHANGED = 0
    CHANGED = 1
    CORRECTED = 2
    """A kline that was shown has been replaced, or came out of order: readers of the series need a resync."""


# Looking a member up in its class costs a tenth of applying a price.
UNCHANGED, CHANGED, CORRECTED = Change
