"""A collector that only writes keys, read in each feed mode: a live chart, every closed kline, outages."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from redis.asyncio import Redis

from collector.encode import kline_member
from simulator.exchange import Activity
from simulator.server import EmbeddedServer
from simulator.simulate import Simulation, make_collector
from tests.builders import MINUTE_MS, T0, kline
from tests.integration.live import BARS, PRICE, SYMBOL, WAIT_S, Publisher, client, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.config import Config
    from tests.fakes import View
    from tests.integration.live import Serving

MODES = ("keyspace", "poll")
NOTIFYING = {"notify-keyspace-events": "K$z"}
SYMBOLS = (SYMBOL, "ETHUSDT")
CHANNELS = [f"kline:{symbol}:1s" for symbol in SYMBOLS]


def feed(mode: str, **changes: Any) -> dict[str, Any]:
    return {"mode": mode, "poll_min_ms": 20, "poll_max_ms": 100, "poll_rest_s": 0.3, "auto_after_s": 0.8, **changes}


@pytest.fixture
def server() -> Any:
    with EmbeddedServer(options=NOTIFYING) as running:
        yield running


@asynccontextmanager
async def collecting(config: Config, *, publish: bool = False) -> AsyncIterator[None]:
    """A simulated collector of one-second klines, which goes through outages too."""
    simulation = Simulation(SYMBOLS, ("1s",), Activity(rate=20.0, forming_s=0.1), publish=publish)
    collector = make_collector(simulation, config.redis)
    running = asyncio.create_task(collector.run())
    try:
        await asyncio.wait_for(collector.seeded.wait(), WAIT_S)
        yield
    finally:
        while not running.done():
            running.cancel()
            await asyncio.wait([running], timeout=0.5)


def as_user(config: Config, user: str, server: EmbeddedServer) -> Config:
    """The same settings with another user."""
    url = server.url.replace("redis://", f"redis://{user}")
    return msgspec.structs.replace(config, redis=msgspec.structs.replace(config.redis, url=url))


def seconds(server: EmbeddedServer, mode: str, **changes: Any) -> Config:
    market = {"intervals": ("1s",), "close_grace_ms": 500}
    return make_config(server, feed=feed(mode, **changes), market=market)


def reached(view: View, cursor: int) -> bool:
    return view.cursor is not None and view.cursor >= cursor


def without_a_hole(view: View) -> bool:
    opens = [kline.open_time // 1000 for kline in view.closed]
    return opens == list(range(opens[0], opens[-1] + 1))


def numbers(view: View) -> list[int]:
    return [(kline.open_time - T0) // MINUTE_MS for kline in view.closed]


@pytest.mark.parametrize("mode", MODES)
class TestACollectorThatOnlyWritesKeys:
    async def test_feeds_a_live_chart_through_an_outage_without_a_hole(self, server: EmbeddedServer, mode: str) -> None:
        config = seconds(server, mode)
        async with collecting(config), serving(config) as up, client(up) as someone:
            await someone.subscribe(*CHANNELS, PRICE, history=20)
            views = [someone.view(channel) for channel in CHANNELS]
            prices = {someone.view(PRICE).ticker["c"]}  # type: ignore[index]
            forming: list[Any] = []

            def changed() -> bool:
                prices.add(someone.view(PRICE).ticker["c"])  # type: ignore[index]
                forming.append(views[0].forming)
                return all(reached(view, later) for view, later in zip(views, wanted, strict=True))

            wanted = [(view.cursor or 0) + 3000 for view in views]
            await someone.until(changed)
            assert len(prices) > 5
            assert any(kline is not None and kline.provisional for kline in forming), (
                "the forming kline is made of prices"
            )
            server.kill()
            await someone.until(lambda: all(view.state == "stale" for view in views))
            await asyncio.sleep(1.5)
            await server.start_async()
            await someone.until(lambda: all(view.state == "live" for view in views))
            wanted = [(view.cursor or 0) + 2000 for view in views]
            await someone.until(changed)
            # The client double has checked the order.
            assert all(map(without_a_hole, views))
            assert all(len(view.closed) >= 20 for view in views)
            health = (await up.get("/readyz")).json()
            assert (health["ready"], health["reasons"], health["feed"]) == (True, [], mode)
            assert await up.metric(f'gateway_feed_mode{{mode="{mode}"}}') == 1
            assert await up.metric("gateway_feed_bytes_total") > len(prices) * len('{"s":"BTCUSDT","c":"1"}')

    async def test_prices_carry_the_time_they_were_written(self, server: EmbeddedServer, mode: str) -> None:
        async with (
            Publisher(server, publishes=False) as collector,
            serving(make_config(server, feed=feed(mode))) as up,
            client(up) as someone,
        ):
            await someone.subscribe(PRICE)
            await collector.ticker("2", updated=True)
            await someone.until(lambda: (someone.view(PRICE).ticker or {}).get("c") == "2")
            ticker = up.inside.market.ticker(SYMBOL)
            assert ticker is not None
            assert ticker.event_time_ms == collector.seen_ms

    async def test_late_and_corrected_klines_arrive(self, server: EmbeddedServer, mode: str) -> None:
        async with Publisher(server, publishes=False) as collector:
            for number in range(3):
                await collector.closed(number)
            async with serving(make_config(server, feed=feed(mode))) as up, client(up) as someone:
                await someone.subscribe(BARS, history=10)
                view = someone.view(BARS)
                # 5 before 4: klines of one series in the wrong order.
                for number in (3, 5, 4):
                    await collector.closed(number)
                await someone.until(lambda: numbers(view) == [0, 1, 2, 3, 4, 5])
                await collector.closed(4, "100 120 90 105", volume="9")
                await someone.until(lambda: [kline.high for kline in view.closed][-2] == "120")
                assert numbers(view) == [0, 1, 2, 3, 4, 5]

    async def test_klines_closed_while_the_server_is_frozen_arrive(self, server: EmbeddedServer, mode: str) -> None:
        config = make_config(server, feed=feed(mode), redis={"watchdog_s": 0.4, "command_timeout_s": 0.4})
        async with Publisher(server, publishes=False) as collector:
            await collector.closed(0)
            async with serving(config) as up, client(up) as someone:
                await someone.subscribe(BARS, history=10)
                view = someone.view(BARS)
                server.freeze()
                try:
                    await someone.until(lambda: view.state == "stale")
                finally:
                    server.thaw()
                for number in range(1, 4):
                    await collector.closed(number)
                await someone.until(lambda: view.state == "live" and numbers(view) == [0, 1, 2, 3])

    async def test_a_new_symbol_becomes_known(self, server: EmbeddedServer, mode: str) -> None:
        async with Publisher(server, publishes=False) as collector:
            await collector.ticker("1")
            async with serving(make_config(server, feed=feed(mode))) as up:
                await collector.ticker("7", "NEWUSDT")
                await until(lambda: up.inside.market.has_data("NEWUSDT"), "the new symbol")
                assert (await up.get("/v1/ticker?symbol=NEWUSDT")).status_code == 200

    async def test_a_key_of_another_type_does_not_affect_others(self, server: EmbeddedServer, mode: str) -> None:
        async with Publisher(server, publishes=False) as collector, Redis.from_url(server.url) as redis:
            await redis.set("klines:BADUSDT:1m", "a string")
            await redis.zadd("ticker:BADUSDT", {"a set": 1})
            await collector.ticker("1")
            async with serving(make_config(server, feed=feed(mode))) as up, client(up) as someone:
                await someone.subscribe(PRICE)
                await redis.set("klines:BADUSDT:1m", "another string")
                await redis.set("ticker:ODDUSDT", "no JSON")
                await collector.ticker("2")
                await someone.until(lambda: (someone.view(PRICE).ticker or {})["c"] == "2")
                assert someone.view(PRICE).state == "live"


async def test_changes_during_a_lost_subscription_are_read(server: EmbeddedServer) -> None:
    async with Publisher(server, publishes=False) as collector, Redis.from_url(server.url) as redis:
        for number in range(3):
            await collector.closed(number)
        async with serving(make_config(server, feed=feed("keyspace"))) as up, client(up) as someone:
            await someone.subscribe(BARS, history=10)
            view = someone.view(BARS)
            for number in range(3, 9):
                # Redis notifies nobody of what is written while nobody is subscribed.
                async with redis.pipeline() as pipeline:
                    pipeline.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                    closed = kline(number, closed=True)
                    pipeline.zadd(f"klines:{SYMBOL}:1m", {kline_member(SYMBOL, "1m", closed): closed.close_time_ms})
                    await pipeline.execute()
                await someone.until(lambda number=number: numbers(view)[-1:] == [number])  # type: ignore[misc]
            assert numbers(view) == list(range(9))
            assert await up.metric("gateway_feed_reconnects_total") == 6


class TestNotificationsThatAreOff:
    async def test_make_the_gateway_unready_with_a_reason_that_says_what_to_do(self) -> None:
        async with (
            EmbeddedServer() as server,
            Publisher(server, publishes=False) as collector,
            serving(make_config(server, feed=feed("keyspace")), ready=False) as up,
        ):
            await until(lambda: up.inside.health.feed.problem, "the problem")
            reasons = (await up.fresh(503)).json()["reasons"]
            assert "CONFIG SET notify-keyspace-events K$z" in reasons[-1]
            async with Redis.from_url(server.url) as redis:
                await redis.config_set("notify-keyspace-events", "AK")
            await up.fresh()
            await collector.ticker("3")
            await until(lambda: up.inside.market.has_data(SYMBOL), "the ticker")

    async def test_are_switched_on_where_allowed_also_after_a_restart(self) -> None:
        config = feed("keyspace", enable_notifications=True)
        async with (
            EmbeddedServer(options={"notify-keyspace-events": "Ex"}) as server,
            Redis.from_url(server.url) as redis,
            serving(make_config(server, feed=config)) as up,
        ):
            setting = (await redis.config_get("notify-keyspace-events"))["notify-keyspace-events"]
            assert set("ExK$z") <= set(setting or "")
            server.kill()
            await up.fresh(503)
            await server.start_async()
            await up.fresh()
            async with Publisher(server, publishes=False) as collector:
                await collector.ticker("3")
                await until(lambda: up.inside.market.has_data(SYMBOL), "the ticker")

    async def test_that_may_not_be_switched_on_are_reported(self) -> None:
        async with EmbeddedServer() as server, Redis.from_url(server.url) as redis:
            commands = ["+@all", "-config|set"]
            await redis.acl_setuser("reader", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=commands)
            config = as_user(make_config(server, feed=feed("keyspace", enable_notifications=True)), "reader:x@", server)
            async with serving(config, ready=False) as up:
                await until(lambda: "may not do that" in up.inside.health.feed.problem, "the problem")
                assert (await up.fresh(503)).json()["reasons"][0] == "feed: redis"


class TestAuto:
    async def test_stays_with_pubsub_while_messages_arrive(self, server: EmbeddedServer) -> None:
        config = seconds(server, "auto")
        async with collecting(config, publish=True), serving(config) as up, client(up) as someone:
            await someone.subscribe(*CHANNELS, history=20)
            view = someone.view(CHANNELS[0])
            later = (view.cursor or 0) + 3000
            await someone.until(lambda: reached(view, later))
            assert (await up.get("/readyz")).json()["feed"] == "pubsub"
            assert await up.metric("gateway_feed_switches_total") == 0

    @pytest.mark.parametrize(("options", "mode"), [(NOTIFYING, "keyspace"), ({}, "poll")], ids=["on", "off"])
    async def test_switches_to_a_fallback_and_back_without_a_hole(self, options: dict[str, str], mode: str) -> None:
        with EmbeddedServer(options=options) as server:
            config = seconds(server, "auto")
            async with serving(config, ready=False) as up:
                async with collecting(config):
                    await until(lambda: up.inside.health.feed.mode == mode, f"the switch to {mode}")
                    await up.fresh()
                    async with client(up) as someone:
                        await someone.subscribe(*CHANNELS, history=20)
                        views = [someone.view(channel) for channel in CHANNELS]
                        later = [(view.cursor or 0) + 2000 for view in views]
                        await someone.until(lambda: all(map(reached, views, later)))
                        assert all(map(without_a_hole, views))
                        assert (await up.get("/readyz")).json()["feed"] == mode
                await self._returns_to_pubsub(config, up)

    async def _returns_to_pubsub(self, config: Config, up: Serving) -> None:
        # The collector comes back as one that publishes.
        async with collecting(config, publish=True), client(up) as someone:
            await someone.subscribe(*CHANNELS, history=20)
            views = [someone.view(channel) for channel in CHANNELS]
            await until(lambda: up.inside.health.feed.mode == "pubsub", "the return to pub/sub")
            later = [(view.cursor or 0) + 2000 for view in views]
            await someone.until(lambda: all(map(reached, views, later)))
            assert all(map(without_a_hole, views))

    async def test_polls_where_notifications_are_on_but_do_not_arrive(self, server: EmbeddedServer) -> None:
        config = seconds(server, "auto")
        async with serving(config, ready=False) as up, collecting(config), Redis.from_url(server.url) as redis:
            await until(lambda: up.inside.health.feed.mode == "keyspace", "the first switch")
            await redis.config_set("notify-keyspace-events", "")
            await until(lambda: up.inside.health.feed.mode == "poll", "the second switch")
            await up.fresh()

    async def test_polls_where_no_subscription_is_allowed(self, server: EmbeddedServer) -> None:
        async with Publisher(server, publishes=False) as collector, Redis.from_url(server.url) as redis:
            await redis.acl_setuser("reader", enabled=True, nopass=True, keys=["*"], commands=["+@read", "+ping"])
            await collector.ticker("1")
            config = make_config(server, feed=feed("auto", auto_after_s=0.4))
            config = as_user(config, "reader:x@", server)
            async with serving(config) as up:
                assert up.inside.health.feed.mode == "poll"
                await collector.ticker("2")
                await until(lambda: (t := up.inside.market.ticker(SYMBOL)) is not None and t.last == "2", "the price")

    async def test_a_stored_price_that_says_an_impossible_time_replaces_no_published_one(self) -> None:
        with EmbeddedServer() as server:
            async with Redis.from_url(server.url) as redis, Publisher(server) as collector:
                await redis.zadd(f"klines:{SYMBOL}:1m", {kline_member(SYMBOL, "1m", kline(0, closed=True)): 1})
                await collector.ticker("1")
                config = make_config(server, feed=feed("auto"))
                async with serving(config) as up, client(up) as someone:
                    await someone.subscribe(PRICE)
                    number = 1

                    async def news() -> None:
                        """A price that is published, and a kline that is only written."""
                        nonlocal number
                        number += 1
                        event = {"s": SYMBOL, "c": str(number), "E": time.time_ns() // 1_000_000}
                        await redis.publish(f"ticker:{SYMBOL}", json.dumps(event))
                        await redis.set(f"lastClosed:{SYMBOL}:1m", T0 + number * MINUTE_MS)

                    while up.inside.health.feed.mode != "poll":
                        await news()
                        await asyncio.sleep(0.05)
                    seen: list[int] = []
                    for _ in range(40):
                        await news()
                        await redis.set(f"ticker:{SYMBOL}:lastUpdate", (time.time_ns() // 1_000_000) * 2 + number)
                        await asyncio.sleep(0.03)
                        found = up.inside.market.ticker(SYMBOL)
                        assert found is not None
                        seen.append(int(found.last))
                    assert seen == sorted(seen), "the stored price is 1 all along"
                    assert seen[-1] > 1
