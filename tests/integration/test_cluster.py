"""A real Redis Cluster of three masters: slots move, nodes die, and no closed kline is lost with either pub/sub."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest
from redis.asyncio import Redis, RedisCluster

from collector.budget import Rates
from collector.contract import Contract
from collector.events import KlineEvent
from collector.writer import Writer
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topics
from gateway.redis.deployment import make_deployment
from gateway.redis.tasks import cancel_and_wait
from tests.builders import MINUTE_MS, T0, kline
from tests.integration.live import BARS, PRICE, SYMBOL, Publisher, client, make_config, process, serving, until
from tests.integration.topology import ClusterServers, cluster, cluster_info, command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio.client import PubSub

    from simulator.server import EmbeddedServer
    from tests.integration.live import Client, Serving

WATCHDOG_S = 0.5
KLINES = f"klines:{SYMBOL}:1m"
SYMBOLS = [f"S{number}USDT" for number in range(20)]

Kind = Literal["plain", "sharded"]
each_kind = pytest.mark.parametrize("kind", ["plain", "sharded"])


@pytest.fixture(scope="module")
def masters() -> Iterator[ClusterServers]:
    """Three masters; tests leave them alive, and their keys behind."""
    with cluster() as found:
        yield found


@pytest.fixture
def nodes(masters: ClusterServers) -> ClusterServers:
    for node in masters.masters:
        command(node, "FLUSHALL")
    return masters


@pytest.fixture
def replicated_nodes() -> Iterator[ClusterServers]:
    with cluster(replicas=1) as found:
        yield found


def settings(nodes: ClusterServers, kind: Kind, **redis: Any) -> Any:
    own = {
        "url": "redis://elsewhere.invalid:1/0",
        "cluster": nodes.addresses,
        "cluster_pubsub": kind,
        "cluster_rescan_s": 0.2,
        "watchdog_s": WATCHDOG_S,
    }
    return make_config(nodes.masters[0], redis=own | redis)


@asynccontextmanager
async def publishing(nodes: ClusterServers, kind: Kind) -> AsyncIterator[Publisher]:
    living = next(node for node in nodes.nodes if node.running)
    redis: Any = RedisCluster("127.0.0.1", living.port)
    async with Publisher(living, redis, shard=kind == "sharded") as publisher:
        yield publisher


@asynccontextmanager
async def gateway_and_client(nodes: ClusterServers, kind: Kind, **redis: Any) -> AsyncIterator[tuple[Serving, Client]]:
    """A gateway and a client that has received klines 0 to 2."""
    async with publishing(nodes, kind) as publisher:
        await publisher.ticker("1")
        for number in range(3):
            await publisher.closed(number)
        async with serving(settings(nodes, kind, **redis)) as up, client(up) as someone:
            await someone.subscribe(BARS, PRICE, history=500)
            assert numbers(someone) == [0, 1, 2]
            yield up, someone


def numbers(someone: Client) -> list[int]:
    return [(bar.open_time - T0) // MINUTE_MS for bar in someone.view(BARS).closed]


def other_master(nodes: ClusterServers, than: EmbeddedServer) -> EmbeddedServer:
    return next(node for node in nodes.masters if node is not than and node.running)


def source_failures(up: Serving) -> int:
    return up.inside.sources.all["redis"].failures


@each_kind
async def test_updates_of_all_slots_arrive(nodes: ClusterServers, kind: Kind) -> None:
    symbols = [f"S{number}USDT" for number in range(12)]
    assert len({nodes.owner(f"ticker:{symbol}").port for symbol in symbols}) == 3
    async with publishing(nodes, kind) as publisher:
        for symbol in symbols:
            await publisher.ticker("1", symbol)
        async with serving(settings(nodes, kind)) as up, client(up) as someone:
            await someone.subscribe(*(f"ticker:{symbol}" for symbol in symbols))
            for symbol in symbols:
                await publisher.ticker("2", symbol)
            views = [someone.view(f"ticker:{symbol}") for symbol in symbols]
            await someone.until(lambda: all((view.ticker or {})["c"] == "2" for view in views))
            assert source_failures(up) == 0


@each_kind
async def test_a_moved_slot_loses_no_closed_kline(nodes: ClusterServers, kind: Kind) -> None:
    # With this watchdog time nothing can wait for the next regular refresh of the slot map.
    async with gateway_and_client(nodes, kind, watchdog_s=60.0) as (up, someone), publishing(nodes, kind) as publisher:
        for turn in range(3):
            target = other_master(nodes, nodes.owner(KLINES))
            first = 3 + 3 * turn
            await publisher.closed(first)
            await asyncio.to_thread(nodes.move_slot, KLINES, target)
            assert nodes.owner(KLINES) is target
            # The first is stored only, as if it had been published while nobody was subscribed to the channel.
            await publisher.closed(first + 1, reported=False)
            await publisher.closed(first + 2)
            await someone.until(lambda first=first: numbers(someone) == list(range(first + 3)))  # type: ignore[misc]
        assert source_failures(up) == 0
        assert not someone.said("status"), "a moved slot is no disconnect"
        await until(lambda: someone.view(BARS).state == "live")


async def test_sharded_channels_follow_a_moved_slot_on_uvloop(nodes: ClusterServers) -> None:
    async with publishing(nodes, "sharded") as publisher:
        await publisher.ticker("1")
        await publisher.closed(0)
        async with process(settings(nodes, "sharded")) as up, client(up) as someone:
            await someone.subscribe(BARS, history=10)
            await asyncio.to_thread(nodes.move_slot, KLINES, other_master(nodes, nodes.owner(KLINES)))
            await publisher.closed(1)
            await someone.until(lambda: numbers(someone) == [0, 1])


async def test_keys_are_read_on_both_sides_during_a_migration(nodes: ClusterServers) -> None:
    async with gateway_and_client(nodes, "plain") as (up, _):
        source = nodes.owner(KLINES)
        target = other_master(nodes, source)
        slot = command(source, "CLUSTER", "KEYSLOT", KLINES)
        command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", nodes.id(source))
        command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", nodes.id(target))
        store = up.inside.store
        assert len(await store.closed_klines(SYMBOL, "1m", 10)) == 3
        command(source, "MIGRATE", "127.0.0.1", target.port, KLINES, 0, 5000)
        assert len(await store.closed_klines(SYMBOL, "1m", 10)) == 3
        for node in (target, source, *nodes.masters):
            command(node, "CLUSTER", "SETSLOT", slot, "NODE", nodes.id(target))
        assert len(await store.closed_klines(SYMBOL, "1m", 10)) == 3
        assert store.available


@each_kind
@pytest.mark.varied
async def test_a_killed_node_loses_no_closed_kline(replicated_nodes: ClusterServers, kind: Kind) -> None:
    nodes = replicated_nodes
    async with gateway_and_client(nodes, kind) as (up, someone):
        owner = nodes.owner(KLINES)
        # What only the killed node had would be lost for everybody.
        assert command(owner, "WAIT", 1, 5000) == 1
        owner.kill()
        await until(lambda: _has_new_owner(nodes, KLINES, owner), "the replica's promotion")
        async with publishing(nodes, kind) as publisher:
            await publisher.closed(3, reported=False)
            await publisher.closed(4)
            await someone.until(lambda: numbers(someone) == [0, 1, 2, 3, 4])
            await up.fresh()
            await publisher.closed(5)
            await publisher.ticker("9")
            await someone.until(lambda: numbers(someone) == [0, 1, 2, 3, 4, 5])
            await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] == "9")


def _has_new_owner(nodes: ClusterServers, key: str, lost: EmbeddedServer) -> bool:
    owner = nodes.owner(key) if _answers(nodes) else lost
    return owner is not lost and cluster_info(owner)["cluster_state"] == "ok"


def _answers(nodes: ClusterServers) -> bool:
    return any(node.running for node in nodes.nodes)


async def test_after_a_lost_connection_another_node_is_used(nodes: ClusterServers) -> None:
    async with gateway_and_client(nodes, "plain") as (up, someone), publishing(nodes, "plain") as publisher:
        connected = [node for node in nodes.masters if command(node, "PUBSUB", "NUMPAT")]
        assert len(connected) == 1
        command(connected[0], "CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: source_failures(up) == 1, "the loss")
        await up.fresh()
        assert not command(connected[0], "PUBSUB", "NUMPAT"), "the gateway connects to another node first"
        await publisher.closed(3)
        await someone.until(lambda: numbers(someone) == [0, 1, 2, 3])


@pytest.mark.long
async def test_a_node_outside_the_cluster_is_left_although_it_answers(replicated_nodes: ClusterServers) -> None:
    nodes = replicated_nodes
    async with gateway_and_client(nodes, "plain") as (up, someone):
        (connected,) = [node for node in nodes.nodes if command(node, "PUBSUB", "NUMPAT")]
        own = nodes.id(connected)
        replica = nodes.replicas[nodes.masters.index(connected)]
        command(replica, "CLUSTER", "FAILOVER")
        await until(lambda: command(connected, "ROLE")[0] == "slave", "the change of roles")
        command(connected, "CLUSTER", "RESET", "HARD")
        for node in nodes.nodes:
            if node is not connected:
                command(node, "CLUSTER", "FORGET", own)
        await until(lambda: source_failures(up) == 1, "the move")
        assert up.inside.sources.all["redis"].failures == 1
        await up.fresh()
        assert connected.running
        nodes.masters.remove(connected)
        async with publishing(nodes, "plain") as publisher:
            await publisher.closed(3)
            await someone.until(lambda: numbers(someone) == [0, 1, 2, 3])


async def test_a_master_that_steps_down_is_no_second_sender(replicated_nodes: ClusterServers) -> None:
    nodes = replicated_nodes
    async with gateway_and_client(nodes, "sharded") as (_, someone):
        old = nodes.owner(KLINES)
        command(nodes.replicas[nodes.masters.index(old)], "CLUSTER", "FAILOVER")
        await until(lambda: nodes.owner(KLINES) is not old, "the change of roles")
        await until(lambda: _subscribers(nodes.owner(KLINES)) == 1 and _subscribers(old) == 0, "the move")
        async with publishing(nodes, "sharded") as publisher:
            await publisher.closed(3)
            await someone.until(lambda: numbers(someone) == [0, 1, 2, 3])


def _subscribers(node: EmbeddedServer) -> int:
    return int(command(node, "PUBSUB", "SHARDNUMSUB", KLINES)[1])


async def test_the_node_with_the_highest_epoch_wins(nodes: ClusterServers) -> None:
    """A node that was cut off still claims all its old slots."""
    with cluster(1) as outdated:
        assert int(cluster_info(outdated.masters[0])["cluster_current_epoch"]) < 3
        async with publishing(nodes, "plain") as publisher:
            await publisher.ticker("1")
        config = settings(nodes, "plain", cluster=(*outdated.addresses, *nodes.addresses))
        async with serving(config) as up:
            assert up.inside.market.has_data(SYMBOL)


async def test_new_symbols_are_found_and_subscribed(nodes: ClusterServers) -> None:
    async with gateway_and_client(nodes, "sharded") as (up, someone), publishing(nodes, "sharded") as publisher:
        await publisher.ticker("1", "NEWUSDT")
        await until(lambda: up.inside.market.has_data("NEWUSDT"), "the new symbol")
        await someone.subscribe("ticker:NEWUSDT")
        await publisher.ticker("2", "NEWUSDT")
        await someone.until(lambda: (someone.view("ticker:NEWUSDT").ticker or {})["c"] == "2")
        assert not someone.said("status"), "the other channels stay live"


async def test_a_frozen_node_is_noticed_and_the_others_still_deliver(nodes: ClusterServers) -> None:
    owner = nodes.owner(KLINES)
    elsewhere = next(name for n in range(99) if nodes.owner(f"ticker:{(name := f'S{n}USDT')}") is not owner)
    async with publishing(nodes, "sharded") as publisher:
        await publisher.ticker("1", elsewhere)
    async with gateway_and_client(nodes, "sharded") as (up, someone), publishing(nodes, "sharded") as publisher:
        await someone.subscribe(f"ticker:{elsewhere}")
        await publisher.publish(f"ticker:{elsewhere}", '{"c":"2"}')
        owner.freeze()
        try:
            await someone.until(lambda: someone.view(BARS).state == "stale")
            await publisher.publish(f"ticker:{elsewhere}", '{"c":"3"}')
            await someone.until(lambda: (someone.view(f"ticker:{elsewhere}").ticker or {})["c"] == "3")
        finally:
            owner.thaw()
        await someone.until(lambda: someone.view(BARS).state == "live")
        await up.fresh()


async def test_an_unreachable_cluster_is_reported(nodes: ClusterServers) -> None:
    config = settings(nodes, "plain", cluster=("127.0.0.1:1",))
    async with serving(config, ready=False) as up:
        await until(lambda: source_failures(up))
        assert "no node of the cluster" in up.inside.sources.all["redis"].reason


class TestCollector:
    """The project's own collector writes each key and message to its node."""

    @each_kind
    async def test_a_closed_kline_is_not_published_while_it_cannot_be_stored(
        self, nodes: ClusterServers, kind: Kind
    ) -> None:
        # Key and channel are on two nodes, as with names that a collector chooses freely.
        channel, redis = "bars:{symbol}:{interval}", settings(nodes, kind, command_timeout_s=0.5).redis
        topics = Topics(msgspec.structs.replace(redis, klines_channel=channel), ("1m",), DEFAULT_SYMBOL_PATTERN)
        names = ((topics.klines_key(symbol, "1m"), topics.klines_channel(symbol, "1m"), symbol) for symbol in SYMBOLS)
        key, channel, symbol = next(name for name in names if nodes.owner(name[0]) is not nodes.owner(name[1]))
        deployment, store = make_deployment(redis), nodes.owner(key)
        contract = Contract(topics, one_server=False, sharded=kind == "sharded")
        writer = Writer(deployment, contract, Rates(), now_s=time.monotonic, retry_s=(0.1,))
        heard = 0

        async def reconcile() -> None:
            """Nothing is stored, and reading fails before writing does."""

        async def hear(subscription: PubSub) -> None:
            nonlocal heard
            while True:
                message: Any = await subscription.parse_response(block=True)
                heard += message[0] in (b"message", b"smessage")

        async with Redis.from_url(nodes.owner(channel).url) as reader, reader.pubsub() as subscription:
            await subscription.execute_command("SSUBSCRIBE" if kind == "sharded" else "SUBSCRIBE", channel)
            tasks = [asyncio.create_task(hear(subscription)), asyncio.create_task(writer.run(reconcile))]
            await writer.connected.wait()
            store.freeze()
            try:
                writer.put(KlineEvent(symbol, "1m", kline(0, closed=True)))
                await until(lambda: writer.counts.failures, "a write that fails")
                assert heard == 0
            finally:
                store.thaw()
            await until(lambda: heard, "the message")
            assert command(store, "ZCARD", key) == 1
            await cancel_and_wait(tasks)
        await deployment.aclose()
