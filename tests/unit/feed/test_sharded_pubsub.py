"""Sharded pub/sub: each channel is subscribed at the owner of its slot, wherever that moves."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.config import RedisConfig
from gateway.feed.sharded_pubsub import ShardedPubSubFeed
from gateway.feed.silence import Silence
from gateway.redis.connections import Address
from gateway.redis.contract import Topic, Topics
from gateway.redis.slots import Slots
from tests.unit.feed.doubles import CONNECTED, FakeConnection, FakeTransport, RecordingSink
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.redis.connections import CommandPart

CONFIG = RedisConfig(retry_s=(1.0, 2.0), watchdog_s=5.0, cluster_rescan_s=30.0, command_timeout_s=2.0)
A, B = Address("10.0.0.1", 7000), Address("10.0.0.2", 7000)
# Slots 8272 and 3300 (of the hash tags `a` and `b` below): see `tests/unit/redis/test_slots.py`.
TOPICS = Topics(
    RedisConfig(
        ticker_channel="{{symbol}}t",
        klines_channel="{{symbol}}k{interval}",
        bundle_channel="{b}bundle",
        ticker_key="{{symbol}}key",
    ),
    ("1m",),
    "[a-z]+",
)
ON_A, ON_B = {b"{b}t", b"{b}k1m", b"{b}bundle"}, {b"{a}t", b"{a}k1m"}


class FakeCluster:
    """Two masters with half of the slots each."""

    def __init__(self) -> None:
        self.halves: list[Address | None] = [A, B]
        self.symbols = {"a", "b"}
        self.connections: dict[Address, list[FakeConnection]] = {A: [], B: []}
        self.errors: dict[Address, Exception] = {}
        self.find_error: Exception | None = None
        self.scan_error: Exception | None = None
        self.acknowledges = True
        self.refreshes = 0
        self.info: Exception = ResponseError("NOPERM")

    async def find(self) -> Slots:
        if self.find_error:
            raise self.find_error
        bounds = ((0, 8191), (8192, 16383))
        return Slots(
            [
                [*bound, [owner.host.encode(), owner.port]]
                for bound, owner in zip(bounds, self.halves, strict=True)
                if owner
            ]
        )

    async def owners(self) -> list[Address]:
        return [A]

    async def execute(self, *command: CommandPart, at: Address | None = None) -> Any:
        if self.scan_error:
            raise self.scan_error
        return b"0", [b"{%b}key" % symbol.encode() for symbol in self.symbols]

    async def refresh(self) -> None:
        self.refreshes += 1

    async def connect_to(self, node: Address) -> Any:
        if node in self.errors:
            raise self.errors[node]
        self.connections[node].append(FakeConnection(FakeTransport(acknowledges=self.acknowledges), self.info))
        return self.connections[node][-1]

    def transport(self, node: Address) -> FakeTransport:
        return self.connections[node][-1].transport

    def subscribed(self, node: Address) -> set[bytes]:
        commands = self.transport(node).commands
        return {channel for name, *channels in commands if name == b"SSUBSCRIBE" for channel in channels}


@asynccontextmanager
async def running(
    cluster: Any, sink: RecordingSink, silent_after_s: float = math.inf
) -> AsyncIterator[ShardedPubSubFeed]:
    feed = ShardedPubSubFeed(CONFIG, TOPICS, sink, cluster, Silence(silent_after_s))
    task = asyncio.create_task(feed.run())
    await asyncio.sleep(0.1)
    try:
        yield feed
        assert not task.done(), "it runs until it is cancelled"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@in_virtual_time
async def test_each_channel_is_subscribed_at_the_owner_of_its_slot() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    async with running(cluster, sink) as feed:
        assert cluster.subscribed(A) == ON_A
        assert cluster.subscribed(B) == ON_B
        assert sink.states == [CONNECTED]
        cluster.transport(B).send(b"smessage", b"{a}t", b"1")
        await asyncio.sleep(0.1)
        assert sink.messages == [(Topic("a", ""), b"1")]
        assert feed.received_bytes > 0
        assert feed.thinned == 0


@in_virtual_time
async def test_each_command_names_channels_of_one_slot() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    cluster.halves = [A, A]
    async with running(cluster, sink):
        groups = [set(channels) for name, *channels in cluster.transport(A).commands if name == b"SSUBSCRIBE"]
        assert groups in ([ON_A, ON_B], [ON_B, ON_A])


@in_virtual_time
async def test_a_slot_that_moves_is_subscribed_again_at_once_without_a_disconnect() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    async with running(cluster, sink):
        cluster.halves = [A, A]
        for channel in ON_B:
            cluster.transport(B).send(b"sunsubscribe", channel, 0)
        await asyncio.sleep(0.1)
        assert cluster.subscribed(A) == ON_A | ON_B
        assert sink.states == [CONNECTED, CONNECTED]


@in_virtual_time
async def test_a_node_that_still_claims_a_moved_slot_is_left() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    async with running(cluster, sink):
        cluster.halves = [A, A]
        await asyncio.sleep(CONFIG.watchdog_s)
        assert cluster.connections[B][0].disconnected
        assert cluster.subscribed(A) == ON_A | ON_B


@in_virtual_time
async def test_new_symbols_are_found_by_a_regular_scan() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    cluster.symbols = {"a"}
    async with running(cluster, sink):
        assert cluster.subscribed(A) == {b"{b}bundle"}
        cluster.symbols = {"a", "b"}
        await asyncio.sleep(CONFIG.cluster_rescan_s + CONFIG.watchdog_s)
        assert cluster.subscribed(A) == ON_A
        assert sink.states == [CONNECTED, CONNECTED]
        assert len(cluster.connections[B]) == 1


@in_virtual_time
async def test_a_failed_scan_leaves_known_channels_subscribed() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    async with running(cluster, sink):
        cluster.scan_error = RedisConnectionError("gone")
        await asyncio.sleep(2 * CONFIG.cluster_rescan_s)
        assert sink.states == [CONNECTED]


@in_virtual_time
async def test_a_failed_first_scan_is_a_failure() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    cluster.scan_error = RedisConnectionError("gone")
    async with running(cluster, sink) as feed:
        assert sink.states == ["gone"]
        cluster.scan_error = None
        await asyncio.sleep(1)
        assert sink.states == ["gone", CONNECTED]
        assert feed.reconnects == 1


@in_virtual_time
async def test_an_unreachable_node_is_reported_and_the_others_are_subscribed() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    cluster.errors[B] = RedisConnectionError("refused")
    async with running(cluster, sink):
        assert sink.states == ["refused"]
        assert cluster.subscribed(A) == ON_A
        del cluster.errors[B]
        await asyncio.sleep(1)
        assert sink.states == ["refused", CONNECTED]
        assert len(cluster.connections[A]) == 1


@in_virtual_time
async def test_a_slot_without_an_owner_is_reported() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    cluster.halves = [A, None]
    async with running(cluster, sink):
        assert sink.states == ["no node serves the slots of 2 channels"]
        assert cluster.subscribed(A) == ON_A


@in_virtual_time
async def test_a_lost_connection_is_reported_and_made_again() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    async with running(cluster, sink):
        cluster.transport(B).lose()
        await asyncio.sleep(0.1)
        assert sink.states == [CONNECTED, "closed by the server"]
        await asyncio.sleep(1)
        assert sink.states == [CONNECTED, "closed by the server", CONNECTED]
        assert [len(connections) for connections in cluster.connections.values()] == [1, 2]


@in_virtual_time
async def test_a_missing_acknowledgement_is_a_timeout() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    cluster.acknowledges = False
    async with running(cluster, sink):
        await asyncio.sleep(CONFIG.command_timeout_s)
        assert sink.states == ["TimeoutError"]


@in_virtual_time
async def test_a_cancelled_feed_closes_every_connection() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    async with running(cluster, sink):
        pass
    assert all(connection.disconnected for connections in cluster.connections.values() for connection in connections)


@in_virtual_time
async def test_a_silent_node_is_connected_anew_and_a_busy_one_is_not() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    async with running(cluster, sink, 60.0) as feed:
        for number in range(70):
            cluster.transport(B).send(b"smessage", b"{a}t", b"%d" % number)
            await asyncio.sleep(1)
        assert [len(cluster.connections[node]) for node in (A, B)] == [2, 1]
        assert [connection.disconnected for connection in cluster.connections[A]] == [True, False]
        assert cluster.subscribed(A) == ON_A
        assert sink.states == [CONNECTED]
        cluster.transport(A).send(b"smessage", b"{b}t", b"1")
        await asyncio.sleep(0.1)
        assert sink.states == [CONNECTED, CONNECTED], "a server that does not say which it is may be another one"
        assert (Topic("b", ""), b"1") in sink.messages
        assert feed.reconnects == 0


@in_virtual_time
async def test_a_silent_node_that_cannot_be_connected_anew_is_kept() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    async with running(cluster, sink, 60.0):
        cluster.errors[A] = RedisConnectionError("refused")
        await asyncio.sleep(70)
        assert not cluster.connections[A][0].disconnected
        cluster.transport(A).send(b"smessage", b"{b}t", b"1")
        await asyncio.sleep(0.1)
        assert sink.messages == [(Topic("b", ""), b"1")]
        assert sink.states == [CONNECTED]


@in_virtual_time
async def test_a_node_that_breaks_before_it_says_which_it_is_leaks_no_connection() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    cluster.info = RedisConnectionError("reset")
    async with running(cluster, sink, 60.0):
        assert "reset" in sink.states
        assert all(connection.disconnected for connection in cluster.connections[A])


@in_virtual_time
async def test_a_simple_string_answers_a_ping_of_a_shard_too() -> None:
    cluster, sink = FakeCluster(), RecordingSink()
    async with running(cluster, sink):
        for node in (A, B):
            cluster.transport(node).pong = b"+PONG\r\n"
        await asyncio.sleep(30 * CONFIG.watchdog_s)
        assert sink.states == [CONNECTED]
