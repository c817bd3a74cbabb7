"""Keyspace notifications -> the same batches as from pub/sub, for a collector that only writes keys.

A notification says which key has changed, never what it holds: it marks the key, and what is marked is read a few
milliseconds later in one round trip, however many notifications there were. The subscription is there before anything
is read, and a key that changes during a reading is marked anew, so the last state of each key is always read.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from redis.exceptions import RedisError, ResponseError

from gateway.feed.pubsub import PubSubFeed
from gateway.redis.tasks import Retries, reason_of, run_together

if TYPE_CHECKING:
    from gateway.config import FeedConfig, RedisConfig
    from gateway.feed.key_reader import KeyReader
    from gateway.feed.pubsub import Batch, FeedSink
    from gateway.redis.contract import Topic, Topics
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)

COALESCE_S = 0.01
"""From a notification to the reading: far below a tick, and long enough for a collector to write all it has to say."""

EVENTS = "K$z"
"""What `notify-keyspace-events` must hold: keyspace channels, strings, sorted sets."""


class NotificationsOff(RedisError):
    """The server does not tell which keys change; the message says what to do."""


def told(setting: str) -> bool:
    """Whether a server with this `notify-keyspace-events` tells what is needed. (`A` stands for all kinds.)"""
    return "K" in setting and ("A" in setting or ("$" in setting and "z" in setting))


class KeyspaceFeed:
    """Runs until cancelled. Its link is a `Listener`, whose sink it is."""

    mode = "keyspace"
    surging = False
    thinned = switches = 0

    def __init__(
        self,
        redis: RedisConfig,
        config: FeedConfig,
        topics: Topics,
        reader: KeyReader,
        sink: FeedSink,
        there: Deployment,
        database: int,
    ) -> None:
        self._enables = config.enable_notifications
        self._reader = reader
        self._sink = sink
        self._retries = Retries(redis.retry_s, sink.disconnected, logger, "feed not running")
        self._listener = PubSubFeed(redis, topics.of_key_events(database), self, there)
        self._changed: set[Topic] = set()
        self._work = asyncio.Event()
        self._link_up = False
        self._told_linked = False
        self.problem = ""
        """Why nothing can come, for people; "" when all is well."""

    @property
    def reconnects(self) -> int:
        return self._listener.reconnects

    @property
    def received_bytes(self) -> int:
        return self._listener.received_bytes + self._reader.received_bytes

    async def run(self) -> None:
        await run_together(self._listener.run(), self._read())

    # The link's side, without `await`

    def connected(self) -> None:
        self._link_up = True
        self._work.set()

    def disconnected(self, reason: str) -> None:
        self._link_up = self._told_linked = False
        self._sink.disconnected(reason)

    def ingest(self, batch: Batch) -> None:
        self._changed.update(topic for topic, _ in batch)
        self._work.set()

    async def _read(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            changed: set[Topic] = set()
            try:
                if self._link_up and not self._told_linked:
                    await self._begin()
                await asyncio.sleep(COALESCE_S)
                changed, self._changed = self._changed, changed
                await self._reader.read(changed)
                self._retries.succeeded()
            except (RedisError, OSError) as error:
                # Marked again: whatever else happens, these have not been read.
                self._changed |= changed
                self._told_linked = False
                self.problem = reason_of(error) if isinstance(error, NotificationsOff) else ""
                await self._retries.failed(error)
                self._work.set()

    async def _begin(self) -> None:
        """A link is there: see that notifications come, then say so. A restarted server has forgotten its settings."""
        setting = await self._reader.notifications()
        if setting is not None and not told(setting):
            await self._switch_on(setting)
        self.problem = ""
        if self._link_up:
            self._told_linked = True
            self._sink.connected()

    async def _switch_on(self, setting: str) -> None:
        needed = f"notify-keyspace-events is {setting!r}; needed: CONFIG SET notify-keyspace-events {EVENTS}"
        if not self._enables:
            raise NotificationsOff(f"{needed} (or feed.enable_notifications, or another feed.mode)")
        # What others have asked for stays on.
        setting += "".join(letter for letter in EVENTS if letter not in setting)
        try:
            await self._reader.set_notifications(setting)
        except ResponseError as error:
            raise NotificationsOff(f"{needed}, which we may not: {error}") from error
        logger.info("feed: notify-keyspace-events set to %s", setting)
