"""Connections that answer and bring nothing: an endpoint that has moved, notifications that somebody switched off."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from gateway.config import RedisConfig
from gateway.redis.deployment import Standalone
from loadtest.nemesis.proxy import Proxy
from simulator.server import EmbeddedServer
from tests.builders import MINUTE_MS, T0
from tests.integration.live import BARS, PRICE, SYMBOL, WAIT_S, Publisher, client, make_config, serving, until
from tests.integration.test_feed_modes import NOTIFYING, as_user, feed, numbers
from tests.integration.topology import command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.app import Gateway


@pytest.fixture
def servers() -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    with EmbeddedServer(options=NOTIFYING) as a, EmbeddedServer(options=NOTIFYING) as b:
        yield a, b


@pytest.fixture
def endpoint(servers: tuple[EmbeddedServer, EmbeddedServer]) -> Iterator[Proxy]:
    """A name that leads to the first server."""
    proxy = Proxy(servers[0].port)
    yield proxy
    proxy.close()


def settings(endpoint: Proxy, server: EmbeddedServer, mode: str, **changes: Any) -> Any:
    market = {"stale_after_s": 0.4, **changes}
    return make_config(
        server, redis={"url": endpoint.url}, feed=feed(mode, silent_reconnect=2.0, auto_after_s=5.0), market=market
    )


def closes(gateway: Gateway) -> str:
    ticker = gateway.market.ticker(SYMBOL)
    return ticker.last if ticker else ""


@pytest.mark.parametrize("mode", ["pubsub", "keyspace", "poll", "auto"])
async def test_an_endpoint_that_moves_while_the_old_server_stays_up_is_followed_without_a_hole(
    servers: tuple[EmbeddedServer, EmbeddedServer], endpoint: Proxy, mode: str
) -> None:
    old, new = servers
    publishes = mode in ("pubsub", "auto")
    async with Publisher(old, publishes=publishes) as before, Publisher(new, publishes=publishes) as after:
        await before.closed(0)
        await before.ticker("1")
        async with serving(settings(endpoint, old, mode)) as up, client(up) as someone:
            await someone.subscribe(BARS, PRICE, history=10)
            view = someone.view(BARS)
            await before.closed(1)
            await someone.until(lambda: numbers(view) == [0, 1])
            endpoint.target_port = new.port
            # What the new server has was copied when the endpoint moved; 2 comes before anybody is connected to it.
            for number in (0, 1, 2):
                await after.closed(number)
            running = True

            async def collect() -> None:
                number = 3
                while running:
                    await after.ticker(str(number))
                    await asyncio.sleep(0.05)
                    number += 1

            collecting = asyncio.create_task(collect())
            try:
                await someone.until(lambda: (someone.view(PRICE).ticker or {}).get("c", "1") != "1")
                await someone.until(lambda: view.state == "live" and numbers(view) == [0, 1, 2])
                await after.closed(3)
                await someone.until(lambda: numbers(view) == [0, 1, 2, 3])
                # What is read on demand comes from the new server too.
                answer = await up.get(f"/v1/klines?symbol={SYMBOL}&interval=1m")
                assert [(bar["openTime"] - T0) // MINUTE_MS for bar in answer.json()["klines"]][:4] == [0, 1, 2, 3]
            finally:
                running = False
                await collecting


async def test_what_is_read_after_a_reconnect_comes_from_the_server_that_the_feed_is_at(
    servers: tuple[EmbeddedServer, EmbeddedServer], endpoint: Proxy
) -> None:
    old, new = servers
    config = make_config(old, redis={"url": endpoint.url})
    async with Publisher(old) as before, Publisher(new) as after:
        await before.closed(0)
        await before.ticker("1")
        async with serving(config) as up, client(up) as someone:
            await someone.subscribe(BARS, history=10)
            for number in (0, 1, 2):
                await after.closed(number)
            endpoint.target_port = new.port
            # The connections for commands stay where they are.
            assert int(command(old, "CLIENT", "KILL", "TYPE", "pubsub")) == 1
            await someone.until(lambda: numbers(someone.view(BARS)) == [0, 1, 2])


async def test_a_command_under_way_while_the_endpoint_moves_is_the_last_at_the_old_server(
    servers: tuple[EmbeddedServer, EmbeddedServer], endpoint: Proxy
) -> None:
    old, new = servers
    redis = Standalone(RedisConfig(url=endpoint.url, command_timeout_s=WAIT_S))
    async with Redis.from_url(old.url) as before, Redis.from_url(new.url) as after:
        for name, server in (("old", before), ("new", after)):
            await server.set("name", name)
        waiting = asyncio.create_task(redis.execute("BLPOP", "list", 0))
        await until(lambda: "blocked_clients:1" in command(old, "INFO", "clients"), "the command")
        endpoint.target_port = new.port
        await redis.refresh()
        await before.rpush("list", "done")
        assert await waiting == (b"list", b"done")
        assert await redis.execute("GET", "name") == b"new"
    await redis.aclose()


@pytest.mark.parametrize("mode", ["pubsub", "keyspace", "auto"])
async def test_a_server_that_answers_pings_with_a_simple_string_is_not_left(
    servers: tuple[EmbeddedServer, EmbeddedServer], endpoint: Proxy, mode: str
) -> None:
    endpoint.replaced = (b"*2\r\n$4\r\npong\r\n$0\r\n\r\n", b"+PONG\r\n")
    server = servers[0]
    redis = {"url": endpoint.url, "watchdog_s": 0.3}
    async with Publisher(server, publishes=mode != "keyspace") as collector:
        await collector.ticker("1")
        async with serving(make_config(server, redis=redis, feed=feed(mode))) as up, client(up) as someone:
            await someone.subscribe(PRICE)
            await until(lambda: endpoint.replacements >= 8, "eight pings")
            await collector.ticker("2")
            await someone.until(lambda: (someone.view(PRICE).ticker or {}).get("c") == "2")
            assert await up.metric("gateway_feed_gaps_total") == 0
            assert await up.metric("gateway_feed_reconnects_total") == 0


async def test_a_silent_exchange_costs_reconnects_that_get_rarer_and_no_resync(
    redis_server: EmbeddedServer, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await publisher.closed(0)
    await publisher.ticker("1")
    proxy = Proxy(redis_server.port)
    try:
        config = settings(proxy, redis_server, "pubsub", stale_after_s=0.2)
        # Nothing comes from now on: it need not be fresh for long enough to be seen.
        async with serving(config, ready=False) as up, client(up) as someone:
            await up.ready()
            await someone.subscribe(BARS, PRICE, history=10)
            someone.clear()

            def replaced() -> list[logging.LogRecord]:
                return [record for record in caplog.records if "connected again" in record.getMessage()]

            await until(lambda: len(replaced()) >= 3, "three replacements")
            times_s = [record.created for record in replaced()]
            assert times_s[2] - times_s[1] > 1.5 * (times_s[1] - times_s[0])
            async with Redis.from_url(redis_server.url) as redis:
                assert len(await redis.client_list(_type="pubsub")) == 1
            for number in (2, 3):
                await publisher.ticker(str(number))
                last = str(number)
                await someone.until(lambda: (someone.view(PRICE).ticker or {}).get("c") == last)  # noqa: B023
            assert someone.said("resync") == []
            assert not any("messages may have been missed" in line for line in caplog.messages)
            assert await up.metric("gateway_feed_gaps_total") == 0
            assert await up.metric("gateway_resyncs_total") == 0
            assert [record for record in caplog.records if "feed connected" in record.getMessage()][1:] == []
    finally:
        proxy.close()


class TestNotificationsThatSomebodySwitchesOff:
    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.feed.keyspace.CHECK_S", 0.3)

    @pytest.fixture
    def server(self) -> Iterator[EmbeddedServer]:
        with EmbeddedServer(options=NOTIFYING) as running:
            yield running

    @pytest.mark.parametrize("setting", ["", "K$", "Ex"])
    async def test_are_switched_on_again_where_that_is_allowed(self, server: EmbeddedServer, setting: str) -> None:
        async with Publisher(server, publishes=False) as collector, Redis.from_url(server.url) as redis:
            await collector.closed(0)
            await collector.ticker("1")
            config = make_config(server, feed=feed("keyspace", enable_notifications=True))
            async with serving(config) as up, client(up) as someone:
                await someone.subscribe(BARS, history=10)
                view = someone.view(BARS)
                await redis.config_set("notify-keyspace-events", setting)
                await collector.closed(1)
                await someone.until(lambda: numbers(view) == [0, 1])
                await collector.closed(2)
                await someone.until(lambda: numbers(view) == [0, 1, 2])
                found = str((await redis.config_get("notify-keyspace-events"))["notify-keyspace-events"])
                assert {*found} >= {*"K$z"}
                assert up.inside.health.feed.problem == ""

    async def test_are_named_where_that_is_not_allowed_until_somebody_does_it(self, server: EmbeddedServer) -> None:
        async with Publisher(server, publishes=False) as collector, Redis.from_url(server.url) as redis:
            await collector.closed(0)
            await collector.ticker("1")
            async with serving(make_config(server, feed=feed("keyspace"))) as up, client(up) as someone:
                await someone.subscribe(BARS, history=10)
                view = someone.view(BARS)
                await redis.config_set("notify-keyspace-events", "")
                await collector.closed(1)
                named = "notify-keyspace-events is ''; needed: CONFIG SET notify-keyspace-events K$z"
                await until(lambda: named in up.inside.health.feed.problem, "the problem")
                assert any(named in reason for reason in (await up.get("/status.json")).json()["why"])
                await redis.config_set("notify-keyspace-events", "K$z")
                await someone.until(lambda: numbers(view) == [0, 1] and view.state == "live")

    @pytest.mark.parametrize(
        ("allowed", "named"),
        [
            ("+config|get", "the gateway's user may not do that: "),
            ("", "the gateway's user may not read notify-keyspace-events: make sure that it holds K$z"),
        ],
        ids=["may-read-it", "may-not-read-it"],
    )
    async def test_are_named_where_the_user_may_not_use_config(
        self, server: EmbeddedServer, allowed: str, named: str
    ) -> None:
        async with Publisher(server, publishes=False) as collector, Redis.from_url(server.url) as redis:
            commands = [word for word in ("~*", "&*", "+@all", "-config", allowed) if word]
            await redis.execute_command("ACL", "SETUSER", "gateway", "on", ">secret", *commands)  # type: ignore[no-untyped-call]
            await collector.closed(0)
            await collector.ticker("1")
            config = as_user(
                make_config(server, feed=feed("keyspace", enable_notifications=True)), "gateway:secret@", server
            )
            # Where the setting may not be read, silence alone is a problem: it may not be ready for long.
            async with serving(config, ready=False) as up, client(up) as someone:
                await until(lambda: up.inside.sources.all["redis"].is_connected, "the connection")
                await someone.subscribe(BARS, history=10)
                view = someone.view(BARS)
                await redis.config_set("notify-keyspace-events", "")
                await until(lambda: named in up.inside.health.feed.problem, "the problem")
                reasons = (await up.get("/readyz")).json()["data"]
                assert any(named in reason for reason in reasons)
                await redis.config_set("notify-keyspace-events", "K$z")
                await collector.closed(1)
                await someone.until(lambda: 1 in numbers(view))
                await until(lambda: up.inside.health.feed.problem == "", "no problem any more")
