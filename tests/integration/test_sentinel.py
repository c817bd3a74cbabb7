"""A master behind Sentinel dies, freezes, steps down or is replaced: the gateway goes where it is, nothing is lost."""

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
    """One sentinel decides alone, and starts in half the time; `indirect` says how many."""
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
async def active(group: Replicated) -> AsyncIterator[tuple[Serving, Client]]:
    """A gateway and a client that has seen the bars 0 to 2, all of which the replica has too."""
    async with Publisher(group.master) as publisher:
        await publisher.ticker("1")
        for number in range(3):
            await publisher.closed(number)
        await publisher.in_sync()
    async with serving(settings(group)) as up, client(up) as someone:
        await someone.subscribe(BARS, PRICE, history=500)
        assert numbers(someone) == [0, 1, 2]
        yield up, someone


async def goes_on(group: Replicated, someone: Client) -> None:
    """The collector writes to the new master: one bar that nobody is told of before the gateway is there, and more."""
    async with Publisher(group.replica) as publisher:
        await publisher.closed(3, told=False)
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
        pytest.param(3, lambda group: group.master.kill(), id="it dies"),
        pytest.param(1, lambda group: group.master.freeze(), id="it freezes"),
        pytest.param(1, lambda group: group.fail_over(), id="it steps down and lives on"),
    ],
    indirect=["group"],
)
async def test_the_gateway_goes_over_to_the_new_master_and_misses_no_closed_bar(
    group: Replicated, loss: Callable[[Replicated], None]
) -> None:
    async with active(group) as (up, someone):
        await asyncio.to_thread(loss, group)
        await promoted(group)
        await goes_on(group, someone)
        assert up.inside.sources.all["redis"].failures >= 1
        # History too comes from where the news does.
        answer = (await up.get("/v1/klines?symbol=BTCUSDT&interval=1m&limit=10")).json()
        assert [bar["openTime"] for bar in answer["klines"]] == [T0 + number * MINUTE_MS for number in range(6)]


async def test_a_master_that_answers_but_is_no_longer_the_one_is_left(group: Replicated) -> None:
    """As when it is cut off from the sentinels and not from us."""
    async with active(group) as (up, someone), Publisher(group.replica) as publisher:
        command(group.replica, "REPLICAOF", "NO", "ONE")
        for sentinel in group.sentinels:
            command(sentinel, "SENTINEL", "REMOVE", group.name)
            command(sentinel, "SENTINEL", "MONITOR", group.name, "127.0.0.1", group.replica.port, 1)
        await until(lambda: linked_to(group), "the link to the new master")
        assert up.inside.sources.all["redis"].failures == 1
        assert group.master.running
        await publisher.closed(3)
        await someone.until(lambda: numbers(someone) == [0, 1, 2, 3])


def linked_to(group: Replicated) -> bool:
    return bool(command(group.replica, "PUBSUB", "NUMPAT"))


async def test_the_sentinel_with_the_newest_view_is_believed(group: Replicated) -> None:
    """One that was cut off still names the old master, which still calls itself one."""
    with replicated(1) as past:
        # Its epoch is 0: it has seen no failover.
        await asyncio.to_thread(group.fail_over)
        await promoted(group)
        await until(lambda: all(_epoch(sentinel, group.name) for sentinel in group.sentinels), "everybody's knowledge")
        addresses = (*past.addresses, *group.addresses)
        async with serving(settings(group, sentinels=addresses)):
            await until(lambda: linked_to(group), "the link to the new master")


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


async def test_while_no_sentinel_answers_a_link_that_works_is_kept(group: Replicated) -> None:
    async with active(group) as (up, someone), Publisher(group.master) as publisher:
        for sentinel in group.sentinels:
            sentinel.kill()
        await asyncio.sleep(3 * WATCHDOG_S)
        await publisher.closed(3)
        await someone.until(lambda: numbers(someone) == [0, 1, 2, 3])
        assert up.inside.sources.all["redis"].failures == 0


async def test_who_knows_no_such_master_says_so(group: Replicated) -> None:
    async with serving(settings(group, sentinel_master="other"), ready=False) as up:
        await until(lambda: up.inside.sources.all["redis"].failures)
        assert "no sentinel knows the master other" in up.inside.sources.all["redis"].reason
