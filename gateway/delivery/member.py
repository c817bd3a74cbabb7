"""What the hub keeps of a session: where it stands among tiers, cohorts and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from gateway.delivery.dialect import Style
    from gateway.delivery.feed_state import FeedState
    from gateway.delivery.subscription_set import SubscriptionSet
    from gateway.delivery.tier import Cohort


class Member:
    """In step (`cohort` is set) it has everything up to its tier's last beat and keeps no places of its own.
    Behind, it is owed what changed after `served_tick`, the channels in `owed`, and each log from its place on."""

    __slots__ = (
        "cohort",
        "hold_until_flush",
        "order",
        "pending",
        "place",
        "log_offsets",
        "served_at_flush",
        "style",
        "tier",
        "feed_state",
        "to_resync",
        "subscription_set",
    )

    subscription_set: SubscriptionSet

    def __init__(self, style: Style) -> None:
        self.style = style
        self.tier = 0
        self.cohort: Cohort | None = None
        # Where it stands among those in step with its tier, and by what they are sorted.
        self.place = -1
        self.order = 0
        # The feed's state it was told last, while behind.
        self.feed_state: FeedState | None = None
        # Kept while behind. `hold_tick`: not served before that tick.
        self.served_at_flush = 0
        self.hold_until_flush = 0
        self.log_offsets: dict[int, int] = {}
        self.pending: dict[int, None] = {}
        self.to_resync: set[int] = set()

    def leave_sync(self, served_at_flush: int, log_offsets: dict[int, int], feed_state: FeedState) -> None:
        """Leave step, having everything up to a tick and up to a place in each log, and the feed's state."""
        self.feed_state = feed_state
        self.served_at_flush = served_at_flush
        self.log_offsets = log_offsets

    def forget(self, n: int) -> None:
        """Drop all that is kept of a channel."""
        self.log_offsets.pop(n, None)
        self.pending.pop(n, None)
        self.to_resync.discard(n)


M = TypeVar("M", bound=Member)
