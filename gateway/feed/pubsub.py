"""Redis pub/sub -> batches of (topic, payload), with every gap reported. Decodes nothing.

One link, to wherever the deployment says (`link/`), read in bulk (`subscription.py`). Whatever may have cost messages
is told to the sink as `unlinked` and, once the new subscription is acknowledged, `linked`: the sink decides what to
read again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import RedisError

from gateway.feed.batcher import BatchSink, MessageBatcher
from gateway.redis.deployment import deployment
from gateway.redis.subscription import ConnectionLost, Subscription
from gateway.redis.tasks import Retries

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from gateway.config import RedisConfig
    from gateway.redis.contract import KeyEvents, Topic, Topics
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)
Batch = list[tuple["Topic", bytes]]


PATTERN_CHANNEL = 2
"""Where a message that came by a pattern has its channel: kind, pattern, channel, payload."""


class FeedSink(BatchSink, Protocol):
    """Whom the listener tells."""

    def connected(self) -> None:
        """Subscribed, from now on nothing is missed. What came before may have been, even without an `unlinked`."""

    def disconnected(self, reason: str) -> None:
        """The link is gone, was found frozen, or could not be made: messages may be missed."""


class PubSubFeed:
    """Runs until cancelled; reconnects by the configured schedule, whose last wait repeats."""

    mode = "pubsub"
    problem = ""
    switches = 0

    def __init__(
        self, config: RedisConfig, topics: Topics | KeyEvents, sink: FeedSink, redis: Deployment | None = None
    ) -> None:
        """`redis`: where to listen, made of the settings where it is not shared with a store."""
        self._config = config
        self._topics = topics
        self._sink = sink
        self._redis = redis or deployment(config)
        self.batcher = MessageBatcher(topics, sink, at=PATTERN_CHANNEL)
        self.reconnects = 0
        self._retries = Retries(config.retry_s, sink.disconnected, logger, "feed link lost")

    @property
    def received_bytes(self) -> int:
        return self.batcher.received_bytes

    @property
    def thinned(self) -> int:
        return self.batcher.thinned

    async def run(self) -> None:
        while True:
            link = Subscription("p", self.batcher, self._connected)
            try:
                connection = await self._redis.connect()
                await self._activate(connection, link)
            except (RedisError, OSError, ConnectionLost) as error:
                if link.connected:
                    self._retries.succeeded()
                self.reconnects += 1
                await self._retries.failed(error)

    async def _activate(self, connection: AbstractConnection, link: Subscription) -> None:
        """Read until the link breaks, freezes or should go elsewhere; always ends with an exception."""
        moving = asyncio.create_task(self._redis.moved(connection))
        moving.add_done_callback(lambda task: None if task.cancelled() else link.end(task.result()))
        try:
            link.start(connection)
            link.subscribe(self._topics.patterns)
            await link.watch(self._config.watchdog_s)
        finally:
            moving.cancel()
            await connection.disconnect(nowait=True)

    def _connected(self) -> None:
        logger.info("feed linked: %s", " ".join(self._topics.patterns))
        self._sink.connected()
