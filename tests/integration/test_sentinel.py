"""A master behind Sentinel dies, freezes, steps down or is replaced: the gateway follows, and no kline is lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import MINUTE_MS, T0
from tests.integration.live import BARS, PRICE, Publisher, client, make_config, serving, until
from tests.integration.topology import Replicated, command, replicated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from simulator.server import EmbeddedServer
    from tests.integration.live import Client, Serving

WATCHDOG_S = 0.4


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Replicated]:
    """One sentinel decides alone and starts in half the time; `indirect` gives another number."""
    with replicated(getattr(request, "param", 1)) as group:
        yield group


def settings(group: Replicated, **redis: Any) -> Any:
    own = {"url": "redis://elsewhere.invalid:1/0", "sentinels": group.addresses, "watchdog_s": WATCHDOG_S}
    return make_config(group.master, redis=own | redis)


def numbers(someone: Client) -> list[int]:
    return [(bar.open_time - T0) // MINUTE_MS for bar in someone.view(BARS).closed]


async def promoted(group: Replicated) -> None:
    await until(group.promoted, "the replica's promotion")


@asynccontextmanager
async def gateway_and_client(group: Replicated) -> AsyncIterator[tuple[Serving, Client]]:
    """A gateway and a client that has received klines 0 to 2, which the replica has too."""
    async with Publisher(group.master) as publisher:
        await publisher.ticker("1")
        for number in range(3):
            await publisher.closed(number)
        await publisher.in_sync()
    async with serving(settings(group)) as up, client(up) as someone:
        await someone.subscribe(BARS, PRICE, history=500)
        assert numbers(someone) == [0, 1, 2]
        yield up, someone


async def continues_at_the_new_master(group: Replicated, someone: Client) -> None:
    """The collector writes to the new master: one kline that is stored only, then published ones."""
    async with Publisher(group.replica) as publisher:
        await publisher.closed(3, reported=False)
        await publisher.closed(4)
        await someone.until(lambda: numbers(someone) == [0, 1, 2, 3, 4])
        await someone.until(lambda: someone.view(BARS).state == "live")
        await publisher.closed(5)
        await publisher.ticker("9")
        await someone.until(lambda: numbers(someone) == [0, 1, 2, 3, 4, 5])
        await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] == "9")


@pytest.mark.parametrize(
    ("group", "loss"),
    [
        pytest.param(3, lambda group: group.master.kill(), id="killed"),
        pytest.param(1, lambda group: group.master.freeze(), id="frozen", marks=pytest.mark.long),
        pytest.param(1, lambda group: group.fail_over(), id="steps-down", marks=pytest.mark.long),
    ],
    indirect=["group"],
)
@pytest.mark.alone
async def test_a_failover_loses_no_closed_kline(group: Replicated, loss: Callable[[Replicated], None]) -> None:
    async with gateway_and_client(group) as (up, someone):
        await asyncio.to_thread(loss, group)
        await promoted(group)
        await continues_at_the_new_master(group, someone)
        assert up.inside.sources.all["redis"].failures >= 1
        # History comes from the new master too.
        answer = (await up.get("/v1/klines?symbol=BTCUSDT&interval=1m&limit=10")).json()
        assert [bar["openTime"] for bar in answer["klines"]] == [T0 + number * MINUTE_MS for number in range(6)]


async def test_a_replaced_master_is_left_although_it_answers(group: Replicated) -> None:
    """As when it is cut off from the sentinels but not from the gateway."""
    async with gateway_and_client(group) as (up, someone), Publisher(group.replica) as publisher:
        command(group.replica, "REPLICAOF", "NO", "ONE")
        for sentinel in group.sentinels:
            command(sentinel, "SENTINEL", "REMOVE", group.name)
            command(sentinel, "SENTINEL", "MONITOR", group.name, "127.0.0.1", group.replica.port, 1)
        await until(lambda: reads_from_replica(group), "the connection to the new master")
        assert up.inside.sources.all["redis"].failures == 1
        assert group.master.running
        await publisher.closed(3)
        await someone.until(lambda: numbers(someone) == [0, 1, 2, 3])


def reads_from_replica(group: Replicated) -> bool:
    return bool(command(group.replica, "PUBSUB", "NUMPAT"))


async def test_the_sentinel_with_the_newest_epoch_wins(group: Replicated) -> None:
    """A sentinel that was cut off still names the old master, which still calls itself a master."""
    with replicated(1) as outdated:
        # Its epoch is 0: it has seen no failover.
        await asyncio.to_thread(group.fail_over)
        await promoted(group)
        await until(
            lambda: all(_epoch(sentinel, group.name) for sentinel in group.sentinels), "the new epoch at every sentinel"
        )
        addresses = (*outdated.addresses, *group.addresses)
        async with serving(settings(group, sentinels=addresses)):
            await until(lambda: reads_from_replica(group), "the connection to the new master")


def _epoch(sentinel: EmbeddedServer, name: str) -> int:
    flat = command(sentinel, "SENTINEL", "MASTER", name)
    return int(flat[flat.index("config-epoch") + 1])


async def test_sentinels_and_servers_may_have_passwords_of_their_own() -> None:
    with replicated(1, {"requirepass": "of-the-server"}, "of-the-sentinels") as group:
        url = "redis://:of-the-server@elsewhere.invalid/0"
        async with Publisher(group.master) as publisher:
            await publisher.ticker("1")
            config = settings(group, url=url, sentinel_password="of-the-sentinels")
            async with serving(config) as up, client(up) as someone:
                await someone.subscribe(PRICE)
                await publisher.ticker("2")
                await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] == "2")


async def test_without_sentinels_a_working_connection_is_kept(group: Replicated) -> None:
    async with gateway_and_client(group) as (up, someone), Publisher(group.master) as publisher:
        for sentinel in group.sentinels:
            sentinel.kill()
        await asyncio.sleep(3 * WATCHDOG_S)
        await publisher.closed(3)
        await someone.until(lambda: numbers(someone) == [0, 1, 2, 3])
        assert up.inside.sources.all["redis"].failures == 0


async def test_an_unknown_master_is_reported_by_name(group: Replicated) -> None:
    async with serving(settings(group, sentinel_master="other"), ready=False) as up:
        await until(lambda: up.inside.sources.all["redis"].failures)
        assert "no sentinel knows the master other" in up.inside.sources.all["redis"].reason
