"""Pipelined reads -> the same batches as from pub/sub, for a Redis that neither publishes nor notifies.

What is subscribed is looked at often, the rest in turns, a little with each look. A look reads small keys first and
only then what they say has changed; both in bounded steps, between which the loop and Redis serve others.
"""

from __future__ import annotations

import asyncio
import logging
import math
from itertools import islice
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from gateway.feed.key_changes import KeyChangeTracker
from gateway.feed.poll_interval import PollInterval
from gateway.redis.contract import Topic
from gateway.redis.tasks import Retries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.config import FeedConfig, RedisConfig
    from gateway.feed.key_reader import KeyReader
    from gateway.feed.pubsub import FeedSink

logger = logging.getLogger(__name__)

DISCOVER_S = 30.0
"""Between two walks through the key space for new symbols."""

REREAD_S = 10.0
"""Between two readings of a subscribed series whose `lastClosed` stands still: a correction leaves it as it is."""


class PollFeed:
    """Runs until cancelled. `wanted` says what is subscribed to just now."""

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
        wanted: Callable[[], set[Topic]],
    ) -> None:
        self._config = config
        self._kinds = ("", *intervals)
        self._reader = reader
        self._sink = sink
        self._wanted = wanted
        self._marks = KeyChangeTracker()
        self._symbols: set[str] = set()
        self._rest: Iterator[Topic] = iter(())
        self.reconnects = 0
        self._retries = Retries(redis.retry_s, sink.disconnected, logger, "keys cannot be read")

    @property
    def received_bytes(self) -> int:
        return self._reader.received_bytes

    async def run(self) -> None:
        while True:
            try:
                await self._reader.ping()
                # From here on every look finds what has changed since; what came before is read by the sink.
                self._marks = KeyChangeTracker()
                self._sink.connected()
                self._retries.succeeded()
                await self._look_on()
            except (RedisError, OSError) as error:
                self.reconnects += 1
                await self._retries.failed(error)

    async def _look_on(self) -> None:
        """Look until it fails."""
        pace = PollInterval(self._config.poll_min_ms / 1000, self._config.poll_max_ms / 1000)
        clock = asyncio.get_running_loop().time
        discover_s = reread_s = 0.0
        while True:
            started_s = clock()
            if started_s >= discover_s:
                self._symbols |= await self._reader.symbols()
                discover_s = started_s + DISCOVER_S
            wanted = self._wanted()
            if started_s >= reread_s:
                for topic in wanted:
                    self._marks.forget(topic)
                reread_s = started_s + REREAD_S
            changes = await self._look(wanted)
            await self._look(self._share_of_rest(wanted, pace.period_s))
            pace.looked(changes > 0, clock() - started_s)
            await asyncio.sleep(max(0.0, started_s + pace.period_s - clock()))

    async def _look(self, topics: set[Topic]) -> int:
        marks = await self._reader.marks(topics)
        return await self._reader.read([topic for topic, mark in marks.items() if self._marks.due(topic, mark)])

    def _share_of_rest(self, wanted: set[Topic], period_s: float) -> set[Topic]:
        """So much of what nobody is subscribed to that all of it has its turn in time."""
        size = len(self._symbols) * len(self._kinds)
        count = math.ceil(size * period_s / self._config.poll_rest_s)
        share = set(islice(self._rest, count))
        if len(share) < count:
            self._rest = iter([Topic(symbol, kind) for symbol in sorted(self._symbols) for kind in self._kinds])
        return share - wanted
