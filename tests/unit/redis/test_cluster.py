"""Which node a read goes to, and which slot map counts."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from redis.exceptions import AskError, MovedError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.config import RedisConfig
from gateway.redis.cluster import REDIRECTS_MAX, REFRESH_AGAIN_S, Cluster
from gateway.redis.connections import Address
from tests.unit.redis.servers import FakeConnector, FakeServer
from tests.virtual_time import in_virtual_time

A, B, C = Address("a", 1), Address("b", 2), Address("c", 3)
CONFIG = RedisConfig(cluster=(str(A), str(B)), watchdog_s=5.0)
ON_A, ON_B = "{b}key", "{a}key"
"""Keys in the lower half of the slots, and in the upper one."""


def slots(*halves: Address | None) -> list[Any]:
    bounds = ((0, 8191), (8192, 16383))
    return [[*bound, [node.host.encode(), node.port]] for bound, node in zip(bounds, halves, strict=True) if node]


class Nodes:
    """Three nodes; A and B have half of the slots each, C has none."""

    def __init__(self) -> None:
        self.servers = {address: self._node(address) for address in (A, B, C)}
        connector: Any = FakeConnector(self.servers)
        self.cluster = Cluster(CONFIG, connector)

    def __getitem__(self, address: Address) -> FakeServer:
        return self.servers[address]

    def _node(self, address: Address) -> FakeServer:
        node = FakeServer(
            GET=lambda key: f"{key} at {address.host}",
            MGET=lambda *keys: [f"{key} at {address.host}" for key in keys],
            EXISTS=lambda *keys: len(keys),
            EVAL=lambda *parts: address.host,
            PING=address.host,
            ASKING=b"OK",
        )
        self._show(node, 1, A, B)
        return node

    def show(self, epoch: int, *halves: Address | None, at: tuple[Address, ...] = (A, B, C)) -> None:
        """Let nodes tell this map."""
        for address in at:
            self._show(self.servers[address], epoch, *halves)

    def _show(self, node: FakeServer, epoch: int, *halves: Address | None) -> None:
        info = b"cluster_state:ok\r\ncluster_current_epoch:%d\r\n" % epoch
        node.answers["CLUSTER"] = lambda what: info if what == "INFO" else slots(*halves)

    def maps_read(self) -> int:
        return sum(command == ("CLUSTER", "SLOTS") for command in self[A].commands)


class TestReads:
    @in_virtual_time
    async def test_go_to_the_owner_of_their_slot(self) -> None:
        nodes = Nodes()
        assert await nodes.cluster.execute("GET", ON_A) == f"{ON_A} at a"
        assert await nodes.cluster.execute("GET", ON_B) == f"{ON_B} at b"
        assert await nodes.cluster.execute("EVAL", "return 1", 1, ON_B) == "b"
        assert nodes.maps_read() == 1

    @in_virtual_time
    async def test_of_several_keys_are_split(self) -> None:
        nodes = Nodes()
        assert await nodes.cluster.execute("MGET", ON_A, ON_B) == [f"{ON_A} at a", f"{ON_B} at b"]
        assert await nodes.cluster.execute("EXISTS", ON_A, ON_B, "x") == 3
        nodes[B].answers["MGET"] = ResponseError("NOPERM")
        with pytest.raises(ResponseError, match="NOPERM"):
            await nodes.cluster.execute("MGET", ON_A, ON_B)

    @in_virtual_time
    async def test_without_a_key_go_to_any_owner_and_with_an_address_there(self) -> None:
        nodes = Nodes()
        assert await nodes.cluster.execute("PING") in ("a", "b")
        assert await nodes.cluster.execute("PING", at=C) == "c"

    @in_virtual_time
    async def test_follow_a_moved_slot_and_remember_it(self) -> None:
        nodes = Nodes()
        nodes[A].answers["GET"] = MovedError("1 c:3")
        assert await nodes.cluster.execute("GET", ON_A) == f"{ON_A} at c"
        nodes[A].commands.clear()
        assert await nodes.cluster.execute("GET", ON_A) == f"{ON_A} at c"
        assert nodes[A].commands == []

    @in_virtual_time
    async def test_during_a_migration_ask_the_target_once(self) -> None:
        nodes = Nodes()
        nodes[A].answers["GET"] = AskError("1 c:3")
        for _ in range(2):
            assert await nodes.cluster.execute("GET", ON_A) == f"{ON_A} at c"
        assert nodes[C].commands == [("ASKING",), ("GET", ON_A)] * 2

    @in_virtual_time
    async def test_a_redirection_without_a_host_means_the_host_that_was_asked(self) -> None:
        nodes = Nodes()
        nodes.servers[Address("a", 9)] = FakeServer(GET="at the other port")
        nodes[A].answers["GET"] = MovedError("1 :9")
        assert await nodes.cluster.execute("GET", ON_A) == "at the other port"

    @in_virtual_time
    async def test_that_are_redirected_for_ever_fail(self) -> None:
        nodes = Nodes()
        nodes[A].answers["GET"] = MovedError("1 b:2")
        nodes[B].answers["GET"] = MovedError("1 a:1")
        with pytest.raises(RedisConnectionError, match=f"more than {REDIRECTS_MAX} times"):
            await nodes.cluster.execute("GET", ON_A)

    @in_virtual_time
    async def test_of_a_slot_without_an_owner_fail(self) -> None:
        nodes = Nodes()
        nodes.show(1, A, None)
        with pytest.raises(RedisConnectionError, match="no node serves the slot"):
            await nodes.cluster.execute("GET", ON_B)
        with pytest.raises(RedisConnectionError, match="no node serves the slot"):
            await nodes.cluster.execute_all([("GET", ON_A), ("GET", ON_B)])

    @in_virtual_time
    async def test_in_one_round_trip_keep_their_order_and_follow_redirections(self) -> None:
        nodes = Nodes()
        nodes[B].answers["GET"] = lambda key: MovedError("1 c:3") if key == ON_B else f"{key} at b"
        nodes[A].answers["GET"] = ResponseError("WRONGTYPE")
        found = await nodes.cluster.execute_all([("GET", ON_B), ("GET", ON_A), ("GET", "{a}2")])
        assert found[0] == f"{ON_B} at c"
        assert isinstance(found[1], ResponseError)
        assert found[2] == "{a}2 at b"


class TestSlotMap:
    @in_virtual_time
    async def test_the_one_with_the_highest_epoch_wins(self) -> None:
        nodes = Nodes()
        nodes.show(2, B, A, at=(B,))
        assert await nodes.cluster.execute("GET", ON_A) == f"{ON_A} at b"

    @in_virtual_time
    async def test_one_node_that_answers_is_enough(self) -> None:
        nodes = Nodes()
        nodes[A].error = RedisConnectionError("away")
        assert (await nodes.cluster.find()).owners == [A, B]
        nodes[B].error = RedisConnectionError("away too")
        with pytest.raises(RedisConnectionError, match="no node of the cluster knows its slots: away"):
            await nodes.cluster.find()

    @in_virtual_time
    async def test_nodes_that_are_no_seeds_are_asked_too(self) -> None:
        nodes = Nodes()
        nodes.show(1, A, C)
        await nodes.cluster.find()
        nodes[A].error = nodes[B].error = RedisConnectionError("away")
        assert (await nodes.cluster.find()).owners == [A, C]

    @in_virtual_time
    async def test_is_read_again_after_a_failure_but_not_by_every_read(self) -> None:
        nodes = Nodes()
        await nodes.cluster.execute("GET", ON_A)
        await asyncio.sleep(REFRESH_AGAIN_S)
        nodes[B].error = RedisConnectionError("away")
        for _ in range(3):
            with pytest.raises(RedisConnectionError):
                await nodes.cluster.execute("GET", ON_B)
        assert nodes.maps_read() == 2
        nodes.show(2, A, C)
        await asyncio.sleep(REFRESH_AGAIN_S)
        assert await nodes.cluster.execute("GET", ON_B) == f"{ON_B} at c"

    @in_virtual_time
    async def test_a_node_that_is_gone_is_disconnected(self) -> None:
        nodes = Nodes()
        nodes.show(1, A, C)
        await nodes.cluster.execute("GET", ON_B)
        assert nodes[C].open == 1
        nodes.show(2, A, B)
        await nodes.cluster.find()
        assert nodes[C].open == 0
        await nodes.cluster.aclose()
        assert [nodes[address].open for address in (A, B, C)] == [0, 0, 0]

    @in_virtual_time
    async def test_a_bug_while_asking_is_raised_and_not_taken_for_an_outage(self) -> None:
        nodes = Nodes()
        nodes[A].answers["CLUSTER"] = lambda what: b"cluster_current_epoch:x"
        with pytest.raises(ValueError, match="invalid literal"):
            await nodes.cluster.find()


class TestSubscriptions:
    @in_virtual_time
    async def test_go_to_another_master_than_the_last_time(self) -> None:
        nodes = Nodes()
        connections: list[Any] = [await nodes.cluster.connect() for _ in range(6)]
        servers = [connection.server for connection in connections]
        assert all(before is not after for before, after in itertools.pairwise(servers))

    @in_virtual_time
    async def test_go_to_a_master_that_can_be_reached(self) -> None:
        nodes = Nodes()
        await nodes.cluster.find()
        for _ in range(4):
            connection: Any = await nodes.cluster.connect()
            assert connection.server in (nodes[A], nodes[B])
        nodes[B].error = RedisConnectionError("away")
        for _ in range(4):
            connection = await nodes.cluster.connect()
            assert connection.server is nodes[A]

    @in_virtual_time
    async def test_fail_with_the_last_reason_where_no_master_can_be_reached(self) -> None:
        nodes = Nodes()
        nodes.show(1, C, C)
        nodes[C].error = RedisConnectionError("refused")
        with pytest.raises(RedisConnectionError, match="no master of the cluster can be reached: refused"):
            await nodes.cluster.connect()

    @in_virtual_time
    async def test_leave_a_node_that_has_left_the_cluster(self) -> None:
        nodes = Nodes()
        nodes.show(1, C, C)
        connection = await nodes.cluster.connect()
        moved = asyncio.create_task(nodes.cluster.moved(connection))
        await asyncio.sleep(3 * CONFIG.watchdog_s)
        assert not moved.done()
        nodes[A].error = nodes[B].error = nodes[C].error = RedisConnectionError("away")
        await asyncio.sleep(3 * CONFIG.watchdog_s)
        assert not moved.done(), "an unreadable map is no reason to leave"
        nodes[A].error = nodes[B].error = nodes[C].error = None
        nodes.show(2, A, B)
        assert await moved == "c:3 has left the cluster"

    @in_virtual_time
    async def test_are_all_the_same_to_who_asks_which_server_it_is(self) -> None:
        nodes = Nodes()
        assert await nodes.cluster.server(await nodes.cluster.connect()) == ""

    @in_virtual_time
    async def test_for_commands_are_renewed_by_a_refresh(self) -> None:
        nodes = Nodes()
        await nodes.cluster.find()
        await nodes.cluster.refresh()
        assert nodes[A].renewals == 1
