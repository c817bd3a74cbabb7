"""What the hub keeps of a session: where it stands among tiers, cohorts and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from gateway.hub.dialect import FeedState, Style
    from gateway.hub.tier import Cohort
    from gateway.hub.watchlist import Watchlist


class Member:
    """In step (`cohort` is set) it has everything up to its tier's last beat and keeps no places of its own.
    Behind, it is owed what changed after `served_tick`, the channels in `owed`, and each log from its place on."""

    __slots__ = (
        "cohort",
        "hold_tick",
        "order",
        "owed",
        "place",
        "places",
        "served_tick",
        "style",
        "tier",
        "told",
        "torn",
        "watchlist",
    )

    watchlist: Watchlist

    def __init__(self, style: Style) -> None:
        self.style = style
        self.tier = 0
        self.cohort: Cohort | None = None
        # Where it stands among those in step with its tier, and by what they are sorted.
        self.place = -1
        self.order = 0
        # The feed's state it was told last, while behind.
        self.told: FeedState | None = None
        # Kept while behind. `hold_tick`: not served before that tick.
        self.served_tick = 0
        self.hold_tick = 0
        self.places: dict[int, int] = {}
        self.owed: dict[int, None] = {}
        self.torn: set[int] = set()

    def fall_behind(self, served_tick: int, places: dict[int, int], told: FeedState) -> None:
        """Leave step, having everything up to a tick and up to a place in each log, and the feed's state."""
        self.told = told
        self.served_tick = served_tick
        self.places = places

    def forget(self, n: int) -> None:
        """Drop all that is kept of a channel."""
        self.places.pop(n, None)
        self.owed.pop(n, None)
        self.torn.discard(n)


M = TypeVar("M", bound=Member)
