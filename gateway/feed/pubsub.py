"""Plain pub/sub of Redis -> batches of (topic, payload). Decodes nothing and never hides a reconnect.

Whatever may have cost messages is reported to the sink as `disconnected` and, once the new subscription is
acknowledged, `connected`: the sink decides what to read again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import RedisError

from gateway.feed.conflate import BatchSink, MessageBatcher
from gateway.feed.link import Link, take_over
from gateway.feed.silence import NEVER, SilenceTimer
from gateway.redis.subscription import ConnectionLost
from gateway.redis.tasks import Retries, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import RedisConfig
    from gateway.feed.silence import Silence
    from gateway.redis.contract import KeyEvents, Topics
    from gateway.redis.deployment import Deployment
    from gateway.redis.subscription import Receiver

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
        silence: Silence = NEVER,
    ) -> None:
        """`silence`: without messages for so long the connection is made anew."""
        self._silence = SilenceTimer(silence)
        self._asks_server = math.isfinite(silence.after_s)
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
            try:
                await self._follow()
            except (RedisError, OSError, ConnectionLost) as error:
                self.reconnects += 1
                await self._retries.failed(error)

    async def _follow(self) -> None:
        """Read until the connection breaks, freezes or belongs elsewhere, and replace it while it is silent; raises."""
        clock_s = asyncio.get_running_loop().time
        link = await self._make(self._batcher, self._connected)
        try:
            while True:
                await link.wait_until(self._silence.look_s(clock_s(), link.last_message_s))
                if clock_s() >= self._silence.due_s(link.last_message_s):
                    link = await self._replaced(link)
        finally:
            await link.aclose()

    async def _make(self, receiver: Receiver, on_connected: Callable[[], None] | None = None) -> Link:
        connection = await self._deployment.connect()
        try:
            server = await self._deployment.server(connection) if self._asks_server else ""
            # The name may lead to another server than before: what is read from now on comes from this one.
            await self._deployment.refresh()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        moved = self._deployment.moved(connection)
        link = Link("p", connection, receiver, self._watchdog_s, server=server, moved=moved)
        link.on_connected = on_connected
        link.subscribe(self._topics.patterns)
        return link

    async def _replaced(self, link: Link) -> Link:
        """A new link in the place of a silent one; the silent one itself where there is none."""
        now_s = asyncio.get_running_loop().time()
        silent_s = now_s - link.last_message_s
        self._silence.replaced(now_s)
        try:
            new = await take_over(link, self._make, self._batcher, self._missed, self._watchdog_s)
        except (RedisError, OSError, ConnectionLost) as error:
            logger.warning("feed: no message for %.0f s, and no new connection: %s", silent_s, reason_of(error))
            return link
        logger.info("feed: no message for %.0f s: connected again", silent_s)
        return new

    def _missed(self) -> None:
        logger.warning("feed: the silent connection has been replaced; messages may have been missed")
        self._sink.connected()

    def _connected(self) -> None:
        self._retries.succeeded()
        logger.info("feed connected: %s", " ".join(self._topics.patterns))
        self._sink.connected()
