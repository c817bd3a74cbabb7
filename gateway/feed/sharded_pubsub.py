"""Sharded pub/sub of a Redis Cluster -> the same batches. Subscribes to each channel at the owner of its slot only.

There are no patterns: the channels are those of the symbols that regular SCANs find. When a slot moves, its channels
are subscribed again at the new owner at once and the sink is told `connected`, so that it reads the store again. The
sink is told `disconnected` only when that fails or a connection breaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from itertools import groupby
from typing import TYPE_CHECKING

from redis.crc import key_slot
from redis.exceptions import RedisError

from gateway.feed.conflate import MessageBatcher
from gateway.feed.link import Link, take_over
from gateway.feed.silence import NEVER, SilenceTimer
from gateway.redis.connections import run_id
from gateway.redis.scan import scan_symbols
from gateway.redis.subscription import ConnectionLost
from gateway.redis.tasks import Retries

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.config import RedisConfig
    from gateway.feed.pubsub import FeedSink
    from gateway.feed.silence import Silence
    from gateway.redis.cluster import Cluster
    from gateway.redis.connections import Address
    from gateway.redis.contract import Topics
    from gateway.redis.subscription import Receiver

logger = logging.getLogger(__name__)

SHARD_CHANNEL = 1
"""Index of the channel in a message: kind, channel, payload."""


class ShardedPubSubFeed:
    """One subscription per cluster node. Runs until cancelled; reconnects by `retry_s`."""

    mode = "pubsub"
    problem = ""
    switches = 0

    def __init__(
        self, config: RedisConfig, topics: Topics, sink: FeedSink, cluster: Cluster, silence: Silence = NEVER
    ) -> None:
        """`silence`: without messages for so long the connection to a node is made anew."""
        self._silence = silence
        self._config = config
        self._topics = topics
        self._sink = sink
        self._cluster = cluster
        self._batcher = MessageBatcher(topics, sink, SHARD_CHANNEL)
        self.reconnects = 0
        self._retries = Retries(config.retry_s, sink.disconnected, logger, "feed disconnected")
        self._connected = False
        self._channels: set[bytes] = set()
        self._scanned_s = -float("inf")
        self._shards: dict[Address, _Shard] = {}
        self._changed = asyncio.Event()
        """A shard has lost a channel or its connection: update the subscriptions."""

    @property
    def received_bytes(self) -> int:
        return self._batcher.received_bytes

    @property
    def thinned(self) -> int:
        return self._batcher.thinned

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._update_subscriptions()
                    await self._wait_for_change()
                    await self._replace_silent()
                except (RedisError, OSError, ConnectionLost) as error:
                    self.reconnects += 1
                    self._connected = False
                    await self._retries.failed(error)
                else:
                    self._retries.succeeded()
        finally:
            for node in list(self._shards):
                await self._leave(node)

    async def _update_subscriptions(self) -> None:
        """Subscribe to each channel at the present owner of its slot; raises where not all could be."""
        self._changed.clear()
        slots = await self._cluster.find()
        problems: list[Exception] = []
        try:
            await self._find_channels()
        except (RedisError, OSError) as error:
            # The known channels are subscribed all the same; where none is known, there is nothing to do.
            logger.warning("scan for new symbols: %s", error)
            if not self._channels:
                raise
        wanted = slots.by_owner(self._channels)
        if unserved := wanted.pop(None, None):
            problems.append(ConnectionLost(f"no node serves the slots of {len(unserved)} channels"))
        for node, shard in list(self._shards.items()):
            # A node that was cut off from the others still claims its slots. With two senders of one channel, old
            # messages could arrive after newer ones.
            if shard.link.ended or not shard.channels <= set(wanted.get(node, ())):
                await self._leave(node)
        added = False
        for owner, channels in wanted.items():
            assert owner is not None
            try:
                added |= await self._subscribe(owner, channels)
            except (RedisError, OSError) as error:
                # The other nodes' channels are subscribed all the same.
                problems.append(error)
        async with asyncio.timeout(self._config.command_timeout_s):
            for shard in self._shards.values():
                await shard.link.wait_acknowledged()
        if problems:
            raise problems[0]
        if added or not self._connected:
            logger.info("feed connected: %d channels on %d nodes", len(self._channels), len(self._shards))
            self._connected = True
            self._sink.connected()

    async def _wait_for_change(self) -> None:
        """Wait until the subscriptions may have to change, at most `watchdog_s`; raises if a connection has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.watchdog_s):
                await self._changed.wait()
        for shard in self._shards.values():
            shard.link.raise_if_ended()

    async def _find_channels(self) -> None:
        """Add the channels of new symbols, every `cluster_rescan_s`."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._scanned_s < self._config.cluster_rescan_s:
            return
        symbols = await scan_symbols(self._cluster.execute, await self._cluster.owners(), self._topics.of_keys)
        self._channels.update(name.encode() for symbol in symbols for name in self._topics.channels(symbol))
        if self._topics.bundle:
            self._channels.add(self._topics.bundle)
        self._scanned_s = now_s

    async def _subscribe(self, node: Address, channels: list[bytes]) -> bool:
        """Subscribe at the node to those of the channels that are not subscribed yet; whether there were any."""
        shard = self._shards.get(node)
        missing = set(channels) - (shard.channels if shard else set())
        if not missing:
            return False
        if shard is None:
            shard = self._shards[node] = _Shard(self._silence, self._changed)
            try:
                shard.link = await self._make(node, shard, self._batcher)
            except BaseException:
                del self._shards[node]
                raise
        shard.channels.update(missing)
        shard.link.subscribe(*_by_slot(missing))
        return True

    async def _make(self, node: Address, shard: _Shard, receiver: Receiver) -> Link:
        connection = await self._cluster.connect_to(node)
        try:
            server = await run_id(connection) if math.isfinite(self._silence.after_s) else ""
            # The name may lead to another server than before: what is read from now on comes from this one.
            await self._cluster.refresh()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return Link(
            "s",
            connection,
            receiver,
            self._config.watchdog_s,
            server=server,
            on_channel_lost=shard.channel_lost,
            on_end=self._changed.set,
        )

    async def _replace_silent(self) -> None:
        """Make the connections anew over which nothing arrives; one that cannot be made is kept as it is."""
        clock_s = asyncio.get_running_loop().time
        for node, shard in self._shards.items():
            if clock_s() < shard.silence.due_s(shard.link.last_message_s):
                continue
            silent_s = clock_s() - shard.link.last_message_s
            shard.silence.replaced(clock_s())

            async def make(receiver: Receiver, node: Address = node, shard: _Shard = shard) -> Link:
                link = await self._make(node, shard, receiver)
                link.subscribe(*_by_slot(shard.channels))
                return link

            try:
                shard.link = await take_over(
                    shard.link, make, self._batcher, self._sink.connected, self._config.watchdog_s
                )
            except (RedisError, OSError, ConnectionLost) as error:
                logger.warning("feed: no message from %s for %.0f s, and no new connection: %s", node, silent_s, error)
            else:
                logger.info("feed: no message from %s for %.0f s: connected again", node, silent_s)

    async def _leave(self, node: Address) -> None:
        await self._shards.pop(node).link.aclose()


class _Shard:
    """The subscription at one node."""

    link: Link

    def __init__(self, silence: Silence, changed: asyncio.Event) -> None:
        self.channels: set[bytes] = set()
        """Requested, and not lost to another node since."""
        self.silence = SilenceTimer(silence)
        self._changed = changed

    def channel_lost(self, channel: bytes) -> None:
        self.channels.discard(channel)
        self._changed.set()


def _by_slot(channels: Collection[bytes]) -> list[list[bytes]]:
    """The channels of one command must share a slot."""
    return [list(group) for _, group in groupby(sorted(channels, key=key_slot), key_slot)]
