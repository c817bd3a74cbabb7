"""Which topics of the feed somebody needs now: a feed that polls keys reads these more often. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.delivery.channel import KlineChannel, MarketChannel
from gateway.redis.contract import Topic

if TYPE_CHECKING:
    from gateway.delivery.hub import Hub
    from gateway.market.market import Market


def demanded_topics(hub: Hub, market: Market) -> set[Topic]:
    """The topics of all channels with subscribers, with the prices and the shorter klines that their klines need."""
    topics: set[Topic] = set()
    for channel in hub.channels:
        if not channel.subscribers:
            continue
        symbols = market.symbols() if isinstance(channel, MarketChannel) else [channel.symbol]
        topics.update(Topic(symbol, "") for symbol in symbols)
        if isinstance(channel, KlineChannel):
            topics.add(Topic(channel.symbol, channel.interval))
            if base_interval := market.divisor(channel.series):
                topics.add(Topic(channel.symbol, base_interval))
    return topics
