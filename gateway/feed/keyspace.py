"""Keyspace notifications -> the same batches as from pub/sub, for a collector that only writes keys.

A notification names the key that has changed, not its value. Changed keys are collected for a few milliseconds and read
in one round trip. The subscription exists before anything is read, and a key that changes during a read is collected
again, so the last state of each key is always read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from redis.exceptions import RedisError, ResponseError

from gateway.feed.pubsub import PubSubFeed
from gateway.feed.silence import NEVER
from gateway.redis.tasks import Retries, reason_of, run_together

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from gateway.config import FeedConfig, RedisConfig
    from gateway.feed.conflate import Batch
    from gateway.feed.key_reader import KeyReader
    from gateway.feed.pubsub import FeedSink
    from gateway.feed.silence import Silence
    from gateway.redis.contract import Topic, Topics
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)

COALESCE_S = 0.01
"""From a notification to the read: far below a flush interval, and long enough for a collector's burst of writes."""

EVENTS = "K$z"
"""What `notify-keyspace-events` must hold: keyspace channels, strings, sorted sets."""


CHECK_S = 5.0
"""Between two looks at the setting: below the time after which data counts as stale."""

SILENT_CHECKS = 3
"""Looks without a notification in between after which a setting that cannot be read is suspected."""

REFUSED_CHECK_S = 60.0
"""The same where the server refuses to say."""

UNREADABLE = (
    "no notification arrives, and the gateway's user may not read notify-keyspace-events: "
    f"make sure that it holds {EVENTS} (CONFIG SET notify-keyspace-events {EVENTS})"
)


class NotificationsOff(RedisError):
    """The server does not send the notifications that are needed; the message says what to do."""


def sends_needed_events(setting: str) -> bool:
    """Whether a server with this `notify-keyspace-events` sends what is needed (`A` stands for all kinds)."""
    return "K" in setting and ("A" in setting or ("$" in setting and "z" in setting))


class KeyspaceFeed:
    """Runs until cancelled. It is the sink of a `PubSubFeed` that subscribes to the notifications."""

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
        deployment: Deployment,
        database: int,
        silence: Silence = NEVER,
    ) -> None:
        """`database`: number of the Redis database, which is a part of the notifications' channels. `silence`: without
        notifications for so long the connection is made anew."""
        self._may_enable = config.enable_notifications
        self._reader = reader
        self._sink = sink
        self._retries = Retries(redis.retry_s, sink.disconnected, logger, "changed keys cannot be read")
        self._pubsub = PubSubFeed(redis, topics.of_key_events(database), self, deployment, silence)
        self._changed: set[Topic] = set()
        self._work = asyncio.Event()
        self._subscribed = False
        self._reported_connected = False
        self._notified_s = self._check_s = self._ask_s = 0.0
        self.problem = ""
        """Why nothing can arrive, for people; "" when all is well."""

    @property
    def charge(self) -> AbstractContextManager[None]:
        return self._sink.charge

    @property
    def reconnects(self) -> int:
        return self._pubsub.reconnects

    @property
    def received_bytes(self) -> int:
        return self._pubsub.received_bytes + self._reader.received_bytes

    async def run(self) -> None:
        await run_together(self._pubsub.run(), self._read_changes())

    # As the sink of the subscription: runs without `await`.

    def connected(self) -> None:
        self._subscribed, self._reported_connected = True, False
        self._notified_s = asyncio.get_running_loop().time()
        self._ask_s = 0.0
        self._work.set()

    def disconnected(self, reason: str) -> None:
        self._subscribed = self._reported_connected = False
        self._sink.disconnected(reason)

    def ingest(self, batch: Batch, replaced: int = 0) -> None:
        self._notified_s = asyncio.get_running_loop().time()
        self._changed.update(topic for topic, _ in batch)
        self._work.set()

    async def _read_changes(self) -> None:
        while True:
            clock_s = asyncio.get_running_loop().time
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._work.wait()
            self._work.clear()
            changed: set[Topic] = set()
            try:
                if self._subscribed and (not self._reported_connected or clock_s() >= self._check_s):
                    await self._check_notifications(clock_s())
                await asyncio.sleep(COALESCE_S)
                changed, self._changed = self._changed, changed
                await self._reader.read(changed)
                self._retries.succeeded()
            except (RedisError, OSError) as error:
                # These keys have not been read: read them with the next changes.
                self._changed |= changed
                self._reported_connected = False
                self.problem = reason_of(error) if isinstance(error, NotificationsOff) else ""
                await self._retries.failed(error)
                self._work.set()

    async def _check_notifications(self, now_s: float) -> None:
        """Make sure that notifications are on, and report the connection where that has not been done since.

        A restarted server has forgotten its settings, and anybody may change them at any time.
        """
        self._check_s = now_s + CHECK_S
        setting = None
        if now_s >= self._ask_s:
            setting = await self._reader.notifications()
            # Each refused command is an entry in the server's ACL LOG.
            self._ask_s = now_s if setting is not None else now_s + REFUSED_CHECK_S
        if setting is not None and not sends_needed_events(setting):
            await self._enable_notifications(setting)
            # What has changed before was not notified.
            self._reported_connected = False
        is_silent = now_s - self._notified_s >= SILENT_CHECKS * CHECK_S
        self.problem = UNREADABLE if setting is None and is_silent else ""
        if self._subscribed and not self._reported_connected:
            self._reported_connected = True
            self._sink.connected()

    async def _enable_notifications(self, setting: str) -> None:
        needed = f"notify-keyspace-events is {setting!r}; needed: CONFIG SET notify-keyspace-events {EVENTS}"
        if not self._may_enable:
            raise NotificationsOff(f"{needed} (or set feed.enable_notifications, or another feed.mode)")
        # What others have switched on stays on.
        setting += "".join(letter for letter in EVENTS if letter not in setting)
        try:
            await self._reader.set_notifications(setting)
        except ResponseError as error:
            raise NotificationsOff(f"{needed}; the gateway's user may not do that: {error}") from error
        logger.info("feed: notify-keyspace-events set to %s", setting)
