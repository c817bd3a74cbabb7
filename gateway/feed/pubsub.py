"""Plain pub/sub of Redis -> batches of (topic, payload). Decodes nothing and never hides a reconnect.

Whatever may have cost messages is reported to the sink as `disconnected` and, once the new subscription is
acknowledged, `connected`: the sink decides what to read again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import RedisError

from gateway.feed.conflate import BatchSink, MessageBatcher
from gateway.redis.subscription import ConnectionLost, Subscription
from gateway.redis.tasks import Retries

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from gateway.config import RedisConfig
    from gateway.redis.contract import KeyEvents, Topics
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)

PATTERN_CHANNEL = 2
"""Index of the channel in a message that came by a pattern: kind, pattern, channel, payload."""


class FeedSink(BatchSink, Protocol):
    """What takes a feed's batches and connection state. No method may await."""

    def connected(self) -> None:
        """Subscribed: from now on no message is missed. Earlier ones may be, even without a `disconnected` before."""

    def disconnected(self, reason: str) -> None:
        """The connection is lost, frozen, or could not be made: messages may be missed."""


class PubSubFeed:
    """One pattern subscription that covers every channel. Runs until cancelled; reconnects by `retry_s`."""

    mode = "pubsub"
    problem = ""
    switches = 0

    def __init__(
        self,
        config: RedisConfig,
        topics: Topics | KeyEvents,
        sink: FeedSink,
        deployment: Deployment,
    ) -> None:
        self._watchdog_s = config.watchdog_s
        self._topics = topics
        self._sink = sink
        self._deployment = deployment
        self._batcher = MessageBatcher(topics, sink, PATTERN_CHANNEL)
        self.reconnects = 0
        self._retries = Retries(config.retry_s, sink.disconnected, logger, "feed disconnected")

    @property
    def received_bytes(self) -> int:
        return self._batcher.received_bytes

    @property
    def thinned(self) -> int:
        return self._batcher.thinned

    async def run(self) -> None:
        while True:
            subscription = Subscription("p", self._batcher, self._connected)
            try:
                connection = await self._deployment.connect()
                await self._read(connection, subscription)
            except (RedisError, OSError, ConnectionLost) as error:
                if subscription.connected:
                    self._retries.succeeded()
                self.reconnects += 1
                await self._retries.failed(error)

    async def _read(self, connection: AbstractConnection, subscription: Subscription) -> None:
        """Read until the connection breaks, freezes or belongs elsewhere; always raises."""
        moving = asyncio.create_task(self._deployment.moved(connection))
        moving.add_done_callback(lambda task: None if task.cancelled() else subscription.end(task.result()))
        try:
            subscription.start(connection)
            subscription.subscribe(self._topics.patterns)
            await subscription.watch(self._watchdog_s)
        finally:
            moving.cancel()
            await connection.disconnect(nowait=True)

    def _connected(self) -> None:
        logger.info("feed connected: %s", " ".join(self._topics.patterns))
        self._sink.connected()
