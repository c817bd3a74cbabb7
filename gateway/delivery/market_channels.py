"""The channels of all symbols: what has changed is gathered for each, and becomes its value once in a while. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gateway.delivery.channel import MarketChannel
    from gateway.delivery.group import Group
    from gateway.market.state import SymbolState

COLLECT_S = 1.0
"""Between two values of a channel, as on the exchange (`!miniTicker@arr`)."""


class MarketChannels:
    """All of them; the hub refreshes those that `collect` returns."""

    def __init__(self) -> None:
        self._channels: list[MarketChannel] = []
        self._collected_s = 0.0

    def add(self, channel: MarketChannel) -> None:
        self._channels.append(channel)

    def collect(
        self, changed: Collection[SymbolState], groups: Iterable[Group], now_s: float
    ) -> Iterable[MarketChannel]:
        """Gather what has changed; returns the channels that have a new value now. `now_s`: on the monotonic clock."""
        used = [channel for channel in self._channels if channel.subscribers]
        for channel in used:
            channel.collect(changed)
        if not used or now_s - self._collected_s < COLLECT_S:
            return ()
        self._collected_s = now_s
        behind = list(groups)
        for channel in used:
            if any(group.has_changed(channel) for group in behind):
                # A group has not been sent the last value yet: the next one contains it.
                channel.collect_again()
        return used
