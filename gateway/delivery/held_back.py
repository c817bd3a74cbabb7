"""Which changes a flush has held back, because the process is busy. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.delivery.channel import Channel, Lane
    from gateway.delivery.subscription_set import SubscriptionSet


class HeldBack:
    """Channels, by number, whose newest change waits: a session that is not in sync lacks it."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = channels
        self._ns: set[int] = set()

    def update(self, held_lanes: AbstractSet[Lane], changed: Iterable[Channel], flush_number: int) -> None:
        """Note whose changes wait at this flush. What is let go counts as changed now, for sessions that were served in
        between."""
        for n in [n for n in self._ns if self._channels[n].lane not in held_lanes]:
            self._channels[n].changed_at_flush = flush_number
            self._ns.remove(n)
        if held_lanes:
            self._ns.update(channel.n for channel in changed if channel.lane in held_lanes)

    def of(self, subscription_set: SubscriptionSet) -> list[int]:
        """Those of a subscription set."""
        return [n for n in subscription_set.ns if n in self._ns] if self._ns else []
