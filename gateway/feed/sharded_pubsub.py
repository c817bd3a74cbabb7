"""Sharded pub/sub of a Redis Cluster -> the same batches. Each channel is heard at the owner of its slot only.

There are no patterns: the channels are those of the symbols found by SCAN, looked for again and again. A slot that
moves gives its channels away; they are taken up at once at the new owner, and the sink is told to read again. Only
when that fails, or a link breaks, the sink is told `unlinked`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from itertools import groupby
from typing import TYPE_CHECKING

from redis.crc import key_slot
from redis.exceptions import RedisError

from gateway.feed.batcher import MessageBatcher
from gateway.redis.scan import scan_symbols
from gateway.redis.subscription import ConnectionLost, Subscription
from gateway.redis.tasks import Retries

if TYPE_CHECKING:
    from collections.abc import Collection

    from redis.asyncio.connection import AbstractConnection

    from gateway.config import RedisConfig
    from gateway.feed.pubsub import FeedSink
    from gateway.redis.cluster import Cluster
    from gateway.redis.connections import Address
    from gateway.redis.contract import Topics

logger = logging.getLogger(__name__)

SHARD_CHANNEL = 1
"""Where a message has its channel: kind, channel, payload."""


class ShardedPubSubFeed:
    """Runs until cancelled; reconnects by the configured schedule, whose last wait repeats."""

    mode = "pubsub"
    problem = ""
    switches = 0

    def __init__(
        self,
        config: RedisConfig,
        topics: Topics,
        sink: FeedSink,
        cluster: Cluster,
    ) -> None:
        self._config = config
        self._topics = topics
        # The key templates in the place of the channels': the same rules then tell the symbol of a key.
        self._key_topics = topics.of_keys
        self._sink = sink
        self._cluster = cluster
        self.batcher = MessageBatcher(topics, sink, at=SHARD_CHANNEL)
        self.reconnects = 0
        self._retries = Retries(config.retry_s, sink.disconnected, logger, "feed link lost")
        self._up = False
        self._channels: set[bytes] = set()
        self._scanned_s = -float("inf")
        self._shards: dict[Address, _Shard] = {}
        self._stirred = asyncio.Event()
        """Something has happened to a link: see to it."""

    @property
    def received_bytes(self) -> int:
        return self.batcher.received_bytes

    @property
    def thinned(self) -> int:
        return self.batcher.thinned

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._tend()
                except (RedisError, OSError, ConnectionLost) as error:
                    self.reconnects += 1
                    self._up = False
                    await self._retries.failed(error)
                else:
                    self._retries.succeeded()
        finally:
            for node in list(self._shards):
                await self._leave(node)

    async def _tend(self) -> None:
        """Make the subscriptions what they should be, then wait until they may no longer be."""
        self._stirred.clear()
        slots = await self._cluster.find()
        problems: list[Exception] = []
        try:
            await self._look_for_channels()
        except (RedisError, OSError) as error:
            # Known channels are heard none the less; where none are, nothing can be.
            logger.warning("look for new symbols: %s", error)
            if not self._channels:
                raise
        wanted = slots.by_owner(self._channels)
        if homeless := wanted.pop(None, None):
            problems.append(ConnectionLost(f"nobody serves the slots of {len(homeless)} channels just now"))
        for node, shard in list(self._shards.items()):
            # A node that was cut off from the others still claims its slots: two senders of one channel could tell old
            # news last.
            if shard.ended or not shard.channels <= set(wanted.get(node, ())):
                await self._leave(node)
        fresh = False
        for owner, channels in wanted.items():
            assert owner is not None
            try:
                fresh |= await self._hear(owner, channels)
            except (RedisError, OSError) as error:
                # The others are heard none the less.
                problems.append(error)
        async with asyncio.timeout(self._config.command_timeout_s):
            for shard in self._shards.values():
                await shard.settled()
        if problems:
            raise problems[0]
        if fresh or not self._up:
            logger.info("feed linked: %d channels on %d nodes", len(self._channels), len(self._shards))
            self._up = True
            self._sink.connected()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.watchdog_s):
                await self._stirred.wait()
        for shard in self._shards.values():
            shard.check()

    async def _look_for_channels(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._scanned_s < self._config.cluster_rescan_s:
            return
        symbols = await scan_symbols(self._cluster.execute, await self._cluster.holders(), self._key_topics)
        self._channels.update(name.encode() for symbol in symbols for name in self._topics.channels(symbol))
        self._scanned_s = now_s

    async def _hear(self, node: Address, channels: list[bytes]) -> bool:
        """Subscribe to those of the channels that are not yet; whether there were any."""
        shard = self._shards.get(node)
        missing = set(channels) - (shard.channels if shard else set())
        if not missing:
            return False
        if shard is None:
            connection = await self._cluster.connect_to(node)
            shard = self._shards[node] = _Shard(connection, self.batcher, self._stirred, self._config.watchdog_s)
        shard.hear(missing)
        return True

    async def _leave(self, node: Address) -> None:
        await self._shards.pop(node).aclose()


class _Shard:
    """The link to one node."""

    def __init__(
        self, connection: AbstractConnection, drain: MessageBatcher, stirred: asyncio.Event, watchdog_s: float
    ) -> None:
        self.channels: set[bytes] = set()
        """Asked for and not given away since."""
        self._stirred = stirred
        self._settled = asyncio.Event()
        self._connection = connection
        self.link = Subscription("s", drain, self._settled.set, self._moved)
        self.link.start(connection)
        self._following = asyncio.create_task(self.link.watch(watchdog_s))
        self._following.add_done_callback(self._ended)

    @property
    def ended(self) -> bool:
        return self._following.done()

    def hear(self, channels: Collection[bytes]) -> None:
        self._settled.clear()
        self.channels.update(channels)
        self.link.subscribe(*(list(group) for _, group in groupby(sorted(channels, key=key_slot), key_slot)))

    async def settled(self) -> None:
        """Wait until all is acknowledged; raises `ConnectionLost`."""
        await self._settled.wait()
        self.check()

    def check(self) -> None:
        if self._following.done():
            self._following.result()

    async def aclose(self) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    def _moved(self, channel: bytes) -> None:
        self.channels.discard(channel)
        self._stirred.set()

    def _ended(self, following: asyncio.Task[None]) -> None:
        self._settled.set()
        self._stirred.set()
        if not following.cancelled():
            following.exception()
