"""Two collectors with a Redis each: one is lost, or brings nothing that can be used, and clients see neither a gap nor
a stale price."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from simulator.server import EmbeddedServer
from tests.builders import MINUTE_MS, T0
from tests.integration.live import BARS, PRICE, SYMBOL, Publisher, client, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.live import Client, Serving

SWITCH_S = 0.4
WATCHDOG_S = 0.4


@dataclass
class TwoSources:
    """Two servers and their collectors, a gateway and a client of it."""

    servers: dict[str, EmbeddedServer]
    publishers: dict[str, Publisher]
    up: Serving
    someone: Client

    async def ticker(self, last: str, *to: str, updated: bool = False) -> None:
        # Both collectors give the same ticker the same time, whether they publish it or not.
        for name, publisher in self.publishers.items():
            if not to or name in to:
                await publisher.ticker(last, updated=updated)
            else:
                publisher.seen_ms += 1

    async def closed(self, number: int, *to: str, **how: Any) -> None:
        for name in to or self.publishers:
            await self.publishers[name].closed(number, **how)

    @property
    def active(self) -> str:
        active = self.up.inside.sources.active
        return active.name if active else ""

    @property
    def other(self) -> str:
        return "backup" if self.active == "main" else "main"

    def numbers(self) -> list[int]:
        return [(bar.open_time - T0) // MINUTE_MS for bar in self.someone.view(BARS).closed]

    def last(self) -> str:
        return (self.someone.view(PRICE).ticker or {})["c"]

    def states(self) -> list[str]:
        """The feed states that the client was sent."""
        return [state for message in self.someone.said("status") for state in message["channels"].values()]

    def prices(self) -> list[str]:
        """Every price that the client was sent, in order."""
        updates = [news for message in self.someone.said("update") for news in message["u"]]
        view = self.someone.view(PRICE)
        return [news["c"] for n, news in updates if self.someone.folder.view_of(n) is view and "c" in news]


@asynccontextmanager
async def two_sources(**sources: dict[str, Any]) -> AsyncIterator[TwoSources]:
    with EmbeddedServer() as main, EmbeddedServer() as backup:
        servers = {"main": main, "backup": backup}
        async with Publisher(main) as one, Publisher(backup) as two:
            publishers = {"main": one, "backup": two}
            for publisher in publishers.values():
                await publisher.ticker("1")
                for number in range(3):
                    await publisher.closed(number)
            config = make_config(
                main,
                redis={"watchdog_s": WATCHDOG_S},
                market={"switch_after_s": SWITCH_S, "stale_after_s": 5.0},
                sources={name: {"url": server.url} for name, server in servers.items()} | sources,
            )
            async with serving(config) as up, client(up) as someone:
                sources_ = up.inside.sources.all.values()
                await until(lambda: all(source.is_connected for source in sources_), "both connections")
                await someone.subscribe(BARS, PRICE, history=500)
                yield TwoSources(servers, publishers, up, someone)


@pytest.mark.parametrize("loss", ["kill", "freeze"])
async def test_clients_do_not_notice_the_loss_of_one_source(loss: str) -> None:
    async with two_sources() as both:
        first, second = both.active, both.other
        await both.ticker("2")
        await both.someone.until(lambda: both.last() == "2")
        getattr(both.servers[first], loss)()
        # This kline is stored only, never published.
        await both.closed(3, second, reported=False)
        await both.ticker("3", second)
        await until(lambda: both.active == second, "the switch")
        await both.closed(4, second)
        await both.ticker("4", second)
        await both.someone.until(lambda: both.numbers() == [0, 1, 2, 3, 4] and both.last() == "4")
        assert both.states() == []
        answer = await both.up.fresh()
        assert {name: source["linked"] for name, source in answer.json()["sources"].items()} == {
            first: False,
            second: True,
        }
        if both.servers[first].running:
            both.servers[first].thaw()


async def test_updates_just_before_a_loss_are_read_from_the_other_source() -> None:
    async with two_sources() as both:
        first, second = both.active, both.other
        await both.closed(3, second)
        await both.ticker("2", second, updated=True)
        await asyncio.sleep(0.1)
        both.servers[first].kill()
        await both.someone.until(lambda: both.numbers() == [0, 1, 2, 3] and both.last() == "2")
        assert both.states() == []


async def test_clients_are_told_when_the_last_source_is_lost() -> None:
    async with two_sources() as both:
        for server in both.servers.values():
            server.kill()
        await both.someone.until(lambda: both.states() and both.states()[-1] == "stale")
        assert (await both.up.fresh(503)).json()["reasons"] == ["feed: redis"]
        name = "backup"
        both.servers[name].start()
        async with Publisher(both.servers[name]) as publisher:
            publisher.seen_ms += 100
            for number in range(5):
                await publisher.closed(number)
            # A stored price without a time does not replace a known one: publish this one after connecting.
            await until(lambda: both.up.inside.sources.all[name].is_connected, "the connection")
            await publisher.ticker("7")
            await both.someone.until(lambda: both.numbers() == [0, 1, 2, 3, 4] and both.last() == "7")
            await both.someone.until(lambda: both.states()[-1] == "live")


async def test_a_source_that_comes_back_stays_standby_and_prices_never_go_back() -> None:
    async with two_sources() as both:
        first, second = both.active, both.other
        both.servers[first].kill()
        await until(lambda: both.active == second, "the switch")
        await both.closed(3, second)
        await both.ticker("5", second)
        await both.someone.until(lambda: both.numbers() == [0, 1, 2, 3] and both.last() == "5")
        both.someone.clear()
        # It is back with what it had before: an old price, and no newer kline.
        both.servers[first].start()
        async with Publisher(both.servers[first]) as old:
            await until(lambda: both.up.inside.sources.all[first].is_connected, "the connection to the first")
            for number in range(2):
                await old.closed(number)
            await old.ticker("2")
            await old.forming(2, "1 2 1 2")
            await both.closed(4, second)
            await both.ticker("6", second)
            await both.someone.until(lambda: both.numbers() == [0, 1, 2, 3, 4] and both.last() == "6")
            assert both.active == second
            assert set(both.prices()) <= {"5", "6"}
            # Now the second is lost, and the first one's updates are older than what clients have.
            both.servers[second].kill()
            await until(lambda: both.active == first, "the switch back")
            await until(lambda: not both.up.inside.backfill.running, "the backfill")
            await old.ticker("3")
            await old.closed(5)
            await both.someone.until(lambda: both.numbers()[-1] == 5)
            assert set(both.prices()) <= {"5", "6"}
            assert both.last() == "6"
            opens = both.numbers()
            assert opens == sorted(set(opens))
            assert "stale" not in both.states()


async def test_a_silent_collector_is_left_although_its_redis_answers() -> None:
    async with two_sources() as both:
        first, second = both.active, both.other
        await both.ticker("2")
        await both.someone.until(lambda: both.last() == "2")
        await both.closed(3, second)
        for price in range(100, 200):
            await both.ticker(str(price), second)
            if both.active == second:
                break
            await asyncio.sleep(SWITCH_S / 8)
        assert both.active == second
        await both.ticker("300", second)
        await both.someone.until(lambda: both.last() == "300" and both.numbers() == [0, 1, 2, 3])
        assert both.up.inside.sources.all[first].is_connected
        assert both.states() == []


DIRT = {
    "garbage": b"\xff{",
    "no price": b'{"c":"0"}',
    "of the future": b'{"c":"7","E":9999999999999}',
    "the same": b'{"c":"2","E":%d}' % (T0 - 60 * MINUTE_MS),
}


@pytest.mark.parametrize("payload", DIRT.values(), ids=DIRT)
async def test_a_collector_that_sends_only_what_nobody_can_use_is_left(payload: bytes) -> None:
    async with two_sources() as both:
        first, second = both.active, both.other
        await both.closed(3)
        for price in range(100, 300):
            await both.publishers[first].publish(f"ticker:{SYMBOL}", payload)
            await both.ticker(str(price), second)
            if both.active == second:
                break
            await asyncio.sleep(SWITCH_S / 8)
        assert both.active == second
        await both.ticker("300", second)
        await both.someone.until(lambda: both.last() == "300" and both.numbers() == [0, 1, 2, 3])
        assert both.states() == []
        assert both.up.inside.sources.all[first].is_connected


async def test_a_standby_collector_that_sends_only_what_nobody_can_use_is_no_spare() -> None:
    async with two_sources() as both:
        first, second = both.active, both.other
        for number in range(40):
            await both.publishers[second].publish(f"ticker:{SYMBOL}", DIRT["garbage"])
            if not number % 8:
                await both.ticker(str(100 + number), first)
            await asyncio.sleep(SWITCH_S / 8)
        assert (both.active, both.up.inside.sources.switches) == (first, 0)
        sources = (await both.up.fresh()).json()["sources"]
        assert sources[second]["messages"] >= 40
        assert sources[second]["age_s"] is None


async def test_a_collector_whose_prices_stop_is_left_for_one_that_has_prices_and_klines() -> None:
    async with two_sources() as both:
        first, second = both.active, both.other
        for price in range(100, 300):
            await both.publishers[first].forming(3, f"100 {price} 90 105")
            await both.publishers[second].forming(3, f"100 {price} 90 105")
            await both.ticker(str(price), second)
            if both.active == second:
                break
            await asyncio.sleep(SWITCH_S / 8)
        assert both.active == second


async def test_sources_with_the_same_updates_are_not_switched() -> None:
    async with two_sources() as both:
        first = both.active
        for price in range(2, 12):
            await both.ticker(str(price))
            # This payload has no time of its own: the last to arrive would count as the newest.
            await both.publishers[both.other].publish(f"ticker:{SYMBOL}", f'{{"c":"{price - 1}"}}')
            await asyncio.sleep(SWITCH_S / 4)
        await both.someone.until(lambda: both.last() == "11")
        assert (both.active, both.up.inside.sources.switches) == (first, 0)
        assert both.prices() == sorted(both.prices(), key=int)


async def test_both_sources_can_be_one_redis_with_two_prefixes() -> None:
    async with two_sources(backup={"prefix": "b:"}) as both:
        other = both.other
        publisher, prefix = both.publishers["main"], {"main": "", "backup": "b:"}[other]
        for price in range(100, 200):
            await publisher.publish(f"{prefix}ticker:{SYMBOL}", f'{{"c":"{price}"}}')
            if both.active == other:
                break
            await asyncio.sleep(SWITCH_S / 8)
        assert both.active == other


async def test_health_and_metrics_report_both_sources() -> None:
    async with two_sources() as both:
        first, second = both.active, both.other
        await both.ticker("2")
        await both.someone.until(lambda: both.last() == "2")
        both.servers[second].kill()
        await until(lambda: both.up.inside.sources.all[second].failures, "the loss")
        sources = (await both.up.fresh()).json()["sources"]
        assert sources[first] | {"age_s": 0} == {
            "linked": True,
            "followed": True,
            "age_s": 0,
            "messages": sources[first]["messages"],
            "failures": 0,
        }
        assert (sources[second]["linked"], sources[second]["followed"]) == (False, False)
        assert sources[second]["failures"] >= 1
        for name, connected in ((first, 1), (second, 0)):
            assert await both.up.metric(f'gateway_source_linked{{source="{name}"}}') == connected
            assert await both.up.metric(f'gateway_source_followed{{source="{name}"}}') == connected
            assert await both.up.metric(f'gateway_source_messages_total{{source="{name}"}}') >= 1
        assert await both.up.metric(f'gateway_source_failures_total{{source="{second}"}}') >= 1
        assert await both.up.metric("gateway_source_switches_total") == 0
