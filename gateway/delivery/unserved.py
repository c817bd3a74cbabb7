"""Removes channels that are of no use: without subscribers, of a symbol that turned out not to exist. Pure.

While the market is still being read, any well-formed name may be one of its symbols, and clients can send any number of
names. The number of a channel that was removed is given to another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.delivery.channel import KlineChannel, MarketChannel, NoChannel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.delivery.channel import Channel
    from gateway.market.market import Market
    from gateway.market.series import Series
    from gateway.market.state import SymbolState


class UnservedChannels:
    """Invariant: a channel in `channels` has its own number, and so has no other."""

    def __init__(self, market: Market, channels: list[Channel]) -> None:
        """`channels`: all channels by number; only this object changes the list."""
        self._market = market
        self._channels = channels
        self._free: list[int] = []
        # Channels to be looked at: they were without data when they were made or lost their last subscriber.
        self._noted: dict[Channel, None] = {}

    def add(self, channel: Channel) -> None:
        """Put a new channel into the list; it may get another number."""
        if self._free:
            channel.n = self._free.pop()
            self._channels[channel.n] = channel
        else:
            self._channels.append(channel)
        self.note(channel)

    def note(self, channel: Channel) -> None:
        """Look at a channel that may have no subscribers."""
        if not channel.subscribers and channel.symbol and not self._market.has_data(channel.symbol):
            self._noted[channel] = None

    def existing(self, channels: Iterable[Channel]) -> Iterator[Channel]:
        """Those that were not removed while the caller waited for something."""
        return (channel for channel in channels if self._channels[channel.n] is channel)

    def remove(
        self, by_name: dict[str, Channel], by_source: dict[SymbolState | Series, list[Channel]]
    ) -> list[Channel]:
        """Remove what is of no use from the list and from the two tables, and the symbol from the market; returns it.

        Does nothing while the market is still being read.
        """
        if not self._noted or not self._market.is_settled:
            return []
        noted, self._noted = self._noted, {}
        gone = [one for one in noted if not one.subscribers and self._market.is_unknown(one.symbol)]
        for channel in gone:
            assert not isinstance(channel, MarketChannel)
            source = channel.series if isinstance(channel, KlineChannel) else channel.state
            by_source[source].remove(channel)
            if not by_source[source]:
                del by_source[source]
            del by_name[channel.name]
            self._channels[channel.n] = NoChannel(channel.n)
            self._free.append(channel.n)
            state = self._market.get_or_create(channel.symbol)
            if not any(source in by_source for source in (state, *state.series.values())):
                self._market.forget(channel.symbol)
        return gone
