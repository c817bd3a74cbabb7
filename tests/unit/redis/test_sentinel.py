"""Which master is used, and what happens when the sentinels or the master change their mind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.config import RedisConfig
from gateway.redis.connections import Address
from gateway.redis.sentinel import Sentinel
from tests.unit.redis.servers import FakeConnector, FakeServer
from tests.virtual_time import in_virtual_time

ONE, TWO = Address("s1", 26379), Address("s2", 26379)
OLD, NEW = Address("old", 6379), Address("new", 6379)
CONFIG = RedisConfig(sentinels=(str(ONE), str(TWO)), sentinel_master="main", watchdog_s=5.0)


class Group:
    """Two sentinels, and two servers that both call themselves master unless told otherwise."""

    def __init__(self) -> None:
        self.sentinels = {address: FakeServer(SENTINEL=b"") for address in (ONE, TWO)}
        self.servers = {address: FakeServer(ROLE=[b"master"], GET=str(address)) for address in (OLD, NEW)}
        for sentinel in (ONE, TWO):
            self.name(sentinel, OLD, 0)
        connector: Any = FakeConnector(self.sentinels | self.servers)
        self.sentinel = Sentinel(CONFIG, connector)

    def name(self, sentinel: Address, master: Address, epoch: int) -> None:
        """Let a sentinel name a master, as of a failover's config epoch."""
        facts = {b"name": b"main", b"ip": master.host, b"port": b"%d" % master.port, b"config-epoch": b"%d" % epoch}
        facts[b"ip"] = master.host.encode()
        self.sentinels[sentinel].answers["SENTINEL"] = [part for fact in facts.items() for part in fact]

    def lose_sentinels(self) -> None:
        for server in self.sentinels.values():
            server.error = RedisConnectionError("sentinel away")


@in_virtual_time
async def test_connects_to_the_master_that_the_sentinels_name() -> None:
    group = Group()
    connection: Any = await group.sentinel.connect()
    assert connection.server is group.servers[OLD]
    assert group.servers[OLD].commands == [("ROLE",)]
    assert group.sentinels[ONE].commands == [("SENTINEL", "MASTER", "main")]
    assert [server.open for server in group.sentinels.values()] == [0, 0]


@pytest.mark.parametrize("newest", [ONE, TWO])
def test_the_sentinel_with_the_newest_epoch_wins(newest: Address) -> None:
    @in_virtual_time
    async def run() -> None:
        group = Group()
        group.name(newest, NEW, 1)
        connection: Any = await group.sentinel.connect()
        assert connection.server is group.servers[NEW]

    run()


@in_virtual_time
async def test_a_server_that_calls_itself_a_replica_is_refused() -> None:
    group = Group()
    group.servers[OLD].answers["ROLE"] = [b"slave"]
    with pytest.raises(RedisConnectionError, match="old:6379 is not a master"):
        await group.sentinel.connect()
    assert group.servers[OLD].open == 0


@in_virtual_time
async def test_a_connection_that_fails_at_the_role_is_closed() -> None:
    group = Group()
    group.servers[OLD].answers["ROLE"] = ResponseError("NOPERM")
    with pytest.raises(ResponseError):
        await group.sentinel.connect()
    assert group.servers[OLD].open == 0


@in_virtual_time
async def test_one_sentinel_that_answers_is_enough() -> None:
    group = Group()
    group.sentinels[ONE].error = RedisConnectionError("away")
    assert await group.sentinel.execute("GET", "k") == "old:6379"
    group.sentinels[TWO].answers["SENTINEL"] = ResponseError("ERR No such master with that name")
    with pytest.raises(RedisConnectionError, match="no sentinel knows the master main: away"):
        await group.sentinel.connect()


@in_virtual_time
async def test_a_bug_while_asking_is_raised_and_not_taken_for_an_outage() -> None:
    group = Group()
    group.sentinels[ONE].answers["SENTINEL"] = [b"config-epoch", b"no number"]
    with pytest.raises(ValueError, match="no number"):
        await group.sentinel.connect()


@in_virtual_time
async def test_a_failover_is_a_reason_to_move() -> None:
    group = Group()
    connection = await group.sentinel.connect()
    moved = asyncio.create_task(group.sentinel.moved(connection))
    await asyncio.sleep(3 * CONFIG.watchdog_s)
    assert not moved.done()
    group.name(ONE, NEW, 1)
    assert await moved == "the master has moved to new:6379"


@in_virtual_time
async def test_a_connection_is_kept_while_no_sentinel_answers() -> None:
    group = Group()
    connection = await group.sentinel.connect()
    group.lose_sentinels()
    moved = asyncio.create_task(group.sentinel.moved(connection))
    await asyncio.sleep(3 * CONFIG.watchdog_s)
    assert not moved.done()
    moved.cancel()


@in_virtual_time
async def test_reads_go_to_the_known_master_without_asking_again() -> None:
    group = Group()
    for _ in range(3):
        assert await group.sentinel.execute("GET", "k") == "old:6379"
    assert await group.sentinel.execute_all([("GET", "a"), ("GET", "b")]) == ["old:6379"] * 2
    assert len(group.sentinels[ONE].commands) == 1
    assert await group.sentinel.owners() == [None]


@in_virtual_time
async def test_after_a_failed_read_the_sentinels_are_asked_again() -> None:
    group = Group()
    await group.sentinel.execute("GET", "k")
    group.servers[OLD].error = RedisConnectionError("gone")
    group.name(ONE, NEW, 1)
    with pytest.raises(RedisConnectionError, match="gone"):
        await group.sentinel.execute("GET", "k")
    assert await group.sentinel.execute("GET", "k") == "new:6379"
    assert group.servers[OLD].open == 0


@in_virtual_time
async def test_a_read_that_the_server_refuses_is_no_reason_to_ask() -> None:
    group = Group()
    group.servers[OLD].answers["GET"] = ResponseError("WRONGTYPE")
    for _ in range(2):
        with pytest.raises(ResponseError):
            await group.sentinel.execute("GET", "k")
    assert len(group.sentinels[ONE].commands) == 1


@in_virtual_time
async def test_a_failed_read_at_the_old_master_does_not_forget_the_new_one() -> None:
    group = Group()
    await group.sentinel.execute("GET", "k")

    def fail_after_a_failover(*_: object) -> None:
        group.sentinel._master = NEW
        raise RedisConnectionError("gone")

    group.servers[OLD].answers["GET"] = fail_after_a_failover
    with pytest.raises(RedisConnectionError):
        await group.sentinel.execute("GET", "k")
    assert await group.sentinel.execute("GET", "k") == "new:6379"
    assert len(group.sentinels[ONE].commands) == 1


@in_virtual_time
async def test_parallel_reads_after_a_failover_share_one_reader() -> None:
    group = Group()
    await group.sentinel.execute("GET", "k")
    group.name(ONE, NEW, 1)
    group.sentinel._master = NEW
    assert await asyncio.gather(*(group.sentinel.execute("GET", "k") for _ in range(5))) == ["new:6379"] * 5
    assert (group.servers[OLD].open, group.servers[NEW].open) == (0, 1)
    await group.sentinel.aclose()
    assert group.servers[NEW].open == 0


@in_virtual_time
async def test_closing_closes_the_reader() -> None:
    group = Group()
    await group.sentinel.aclose()
    await group.sentinel.execute("GET", "k")
    await group.sentinel.aclose()
    assert group.servers[OLD].open == 0


@in_virtual_time
async def test_refreshing_renews_the_connections_to_the_master() -> None:
    group = Group()
    await group.sentinel.refresh()
    await group.sentinel.execute("GET", "a")
    await group.sentinel.refresh()
    assert group.servers[OLD].renewals == 1
    group.servers[OLD].answers["INFO"] = b"run_id:7\r\n"
    assert await group.sentinel.server(await group.sentinel.connect()) == "run_id:7"
