"""Pipelined reads -> the same batches as from pub/sub, for a Redis that neither publishes nor notifies.

Subscribed topics are polled often, the others in turns, a few with each poll. A poll reads timestamps first and then
only the values that have changed; both in bounded steps, between which the loop and Redis serve others.
"""

from __future__ import annotations

import asyncio
import logging
import math
from itertools import islice
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from gateway.feed.discovery import Discovery
from gateway.feed.key_changes import KeyChangeTracker, PollInterval
from gateway.feed.silence import NEVER, SilenceTimer
from gateway.redis.contract import Topic
from gateway.redis.tasks import Retries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.config import FeedConfig, RedisConfig
    from gateway.feed.key_reader import KeyReader
    from gateway.feed.pubsub import FeedSink
    from gateway.feed.silence import Silence

logger = logging.getLogger(__name__)

REREAD_S = 10.0
"""Between two reads of a subscribed series whose `lastClosed` does not change: a correction leaves it as it is."""


class PollFeed:
    """Runs until cancelled."""

    mode = "poll"
    problem = ""
    thinned = switches = 0

    def __init__(
        self,
        redis: RedisConfig,
        config: FeedConfig,
        intervals: tuple[str, ...],
        reader: KeyReader,
        sink: FeedSink,
        subscribed: Callable[[], set[Topic]],
        silence: Silence = NEVER,
    ) -> None:
        """`subscribed`: returns the topics that clients are subscribed to now. `silence`: without a change for
        so long keys are read over new connections."""
        self._silence = SilenceTimer(silence)
        self._config = config
        # "" stands for the ticker, as in a topic.
        self._intervals = ("", *intervals)
        self._reader = reader
        self._sink = sink
        self._subscribed = subscribed
        self._changes = KeyChangeTracker()
        self._discovery = Discovery(reader)
        self._rest: Iterator[Topic] = iter(())
        self.reconnects = 0
        self._retries = Retries(redis.retry_s, sink.disconnected, logger, "keys cannot be read")

    @property
    def received_bytes(self) -> int:
        return self._reader.received_bytes

    async def run(self) -> None:
        while True:
            try:
                # The name may lead to another server than before.
                await self._reader.refresh()
                await self._reader.ping()
                # From here on every poll finds what has changed since; the sink reads what came before.
                self._changes = KeyChangeTracker()
                self._sink.connected()
                self._retries.succeeded()
                await self._poll_until_error()
            except (RedisError, OSError) as error:
                self.reconnects += 1
                await self._retries.failed(error)

    async def _poll_until_error(self) -> None:
        interval = PollInterval(self._config.poll_min_ms / 1000, self._config.poll_max_ms / 1000)
        clock_s = asyncio.get_running_loop().time
        reread_s = 0.0
        changed_s = clock_s()
        # What is there by now the sink reads.
        self._discovery.restart()
        await self._discovery.look(clock_s())
        while True:
            started_s = clock_s()
            new = await self._discovery.look(started_s)
            await self._read_changed({Topic(symbol, interval) for symbol in new for interval in self._intervals})
            subscribed = self._subscribed()
            if started_s >= reread_s:
                for topic in subscribed:
                    self._changes.forget(topic)
                reread_s = started_s + REREAD_S
            changes = await self._read_changed(subscribed)
            others = await self._read_changed(self._next_unsubscribed(subscribed, interval.period_s))
            if changes or others:
                changed_s = clock_s()
            elif clock_s() >= self._silence.due_s(changed_s):
                self._silence.replaced(clock_s())
                logger.info("feed: no key has changed for %.0f s; reading over new connections", clock_s() - changed_s)
                await self._reader.refresh()
            interval.polled(changes > 0, clock_s() - started_s)
            await asyncio.sleep(max(0.0, started_s + interval.period_s - clock_s()))

    async def _read_changed(self, topics: set[Topic]) -> int:
        """Read the topics whose timestamp says so; returns how many payloads were new."""
        timestamps = await self._reader.timestamps(topics)
        return await self._reader.read(
            [topic for topic, timestamp in timestamps.items() if self._changes.due(topic, timestamp)]
        )

    def _next_unsubscribed(self, subscribed: set[Topic], period_s: float) -> set[Topic]:
        """As many of the other topics as it takes to poll all of them once in `poll_rest_s`."""
        size = len(self._discovery.symbols) * len(self._intervals)
        count = math.ceil(size * period_s / self._config.poll_rest_s)
        share = set(islice(self._rest, count))
        if len(share) < count:
            self._rest = iter(
                [Topic(symbol, interval) for symbol in sorted(self._discovery.symbols) for interval in self._intervals]
            )
        return share - subscribed
