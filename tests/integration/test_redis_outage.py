"""The feed's server is killed, frozen, late or empty under clients that stay: they are told, and miss no closed bar."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from gateway.delivery import feed_state
from gateway.ops.health import STARTING
from loadtest.protocol.websocket import handshake
from simulator.exchange import Activity
from simulator.server import EmbeddedServer
from simulator.simulate import Simulation, make_collector
from tests.builders import MINUTE_MS, T0
from tests.integration.live import BARS, PRICE, WAIT_S, Publisher, client, make_config, process, serving, until
from tests.integration.raw import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.fakes import View
    from tests.integration.live import Client, Serving

WATCHDOG_S = 0.4


def numbers(view: View) -> list[int]:
    return [(kline.open_time - T0) // MINUTE_MS for kline in view.closed]


def states(someone: Client) -> list[tuple[str, str]]:
    """What was said of the feed: states with their reasons."""
    said = []
    for message in someone.said("status"):
        (state,) = set(message["channels"].values())
        said.append((state, message.get("reason", "")))
    return said


def _reached(view: View, cursor: int) -> bool:
    return view.cursor is not None and view.cursor >= cursor


@pytest.fixture
async def up(redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
    """A gateway with three closed bars and a price; it notices a frozen server soon."""
    await publisher.ticker("1")
    for number in range(3):
        await publisher.closed(number)
    async with serving(make_config(redis_server, redis={"watchdog_s": WATCHDOG_S})) as found:
        yield found


@asynccontextmanager
async def restarted(server: EmbeddedServer) -> AsyncIterator[Publisher]:
    """The server comes back, empty; somebody stores and publishes again."""
    server.start()
    async with Publisher(server) as publisher:
        yield publisher


class TestKilled:
    async def test_clients_are_told_and_told_when_it_is_over(
        self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving
    ) -> None:
        async with client(up) as someone:
            await someone.subscribe(BARS, PRICE)
            redis_server.kill()
            await someone.until(lambda: ("stale", "redis") in states(someone))
            assert someone.view(BARS).state == someone.view(PRICE).state == "stale"
            assert int(someone.said("status")[0]["since"]) > T0
            why = (await up.fresh(503)).json()
            assert (why["fresh"], why["reasons"]) == (False, ["feed: redis"])
            assert {lane["reason"] for lane in why["lanes"].values()} == {"redis"}
            # Other processes have lost it too: stale data is served, rather than none.
            ready = (await up.ready()).json()
            assert (ready["reasons"], ready["data"]) == ([], ["feed: redis"])
            async with restarted(redis_server):
                await someone.until(lambda: states(someone) and states(someone)[-1] == ("live", ""))
                assert someone.view(BARS).state == "live"
                await up.fresh()
            assert await up.metric("gateway_feed_gaps_total") == 1

    async def test_the_last_values_are_served_meanwhile_and_say_so(
        self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving
    ) -> None:
        async with client(up) as someone:
            redis_server.kill()
            await up.fresh(503)
            await someone.subscribe(BARS, PRICE)
            assert (someone.view(PRICE).ticker or {})["c"] == "1"
            assert someone.view(PRICE).state == "stale"
            refused = await someone.ask("subscribe", channels=[BARS], history=10)
            # Nothing was read of it before, and nothing can be read now.
            assert refused["channels"][BARS]["error"]["code"] == "UNAVAILABLE"
            assert (await someone.ask("list"))["channels"].keys() == {BARS, PRICE}

    @pytest.mark.parametrize("missed", [1, 5, 40], ids=["one", "some", "more than is kept in memory"])
    async def test_what_closed_meanwhile_arrives_before_anything_newer(
        self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving, missed: int
    ) -> None:
        async with client(up) as with_history, client(up) as without:
            await with_history.subscribe(BARS, history=500)
            await without.subscribe(BARS)
            redis_server.kill()
            await with_history.until(lambda: with_history.view(BARS).state == "stale")
            last = 2 + missed
            async with restarted(redis_server) as collector:
                for number in range(last):
                    await collector.closed(number, reported=False)
                await collector.closed(last)
                await collector.forming(last + 1)
                for someone in (with_history, without):
                    view = someone.view(BARS)
                    await someone.until(lambda view=view: view.forming and view.cursor == T0 + last * MINUTE_MS)  # type: ignore[misc]
                    # What continues what is known does not wait until everything else has been read.
                    await someone.until(lambda view=view: view.state == "live")  # type: ignore[misc]
            # The folder has seen to the order. Nothing is missing either, whatever came as a resync.
            assert numbers(with_history.view(BARS)) == list(range(last + 1))
            bars = numbers(without.view(BARS))
            assert bars == list(range(bars[0], last + 1))
            assert without.view(BARS).resyncs or bars[0] == 3

    async def test_again_and_again_leaves_nothing_behind(
        self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving
    ) -> None:
        async with client(up) as someone:
            await someone.subscribe(BARS, history=500)
            for turn in range(4):
                redis_server.kill()
                await someone.until(lambda: someone.view(BARS).state == "stale")
                async with restarted(redis_server) as collector:
                    for number in range(4 + turn):
                        await collector.closed(number, reported=number == 3 + turn)
                    await someone.until(lambda: someone.view(BARS).state == "live")
                    await someone.until(lambda turn=turn: someone.view(BARS).cursor == T0 + (3 + turn) * MINUTE_MS)  # type: ignore[misc]
            assert numbers(someone.view(BARS)) == list(range(7))
            await until(lambda: not up.inside.backfill.running, "the end of the repairs")
            names = [task.get_name() for task in asyncio.all_tasks()]
            assert [names.count(name) for name in ("feed redis", "flush", "keepalive")] == [1, 1, 1]


class TestFrozen:
    async def test_a_link_that_says_nothing_is_given_up_and_taken_up_again(
        self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving
    ) -> None:
        async with client(up) as someone:
            await someone.subscribe(BARS)
            redis_server.freeze()
            try:
                await someone.until(lambda: someone.view(BARS).state == "stale")
            finally:
                redis_server.thaw()
            await someone.until(lambda: someone.view(BARS).state == "live")
            await publisher.closed(3)
            await someone.until(lambda: numbers(someone.view(BARS)) == [3])


async def test_a_feed_that_is_linked_and_silent_says_so(redis_server: EmbeddedServer, publisher: Publisher) -> None:
    await publisher.ticker("1")
    config = make_config(redis_server, market={"stale_after_s": 0.3})
    async with serving(config, ready=False) as up, client(up) as someone:
        await someone.subscribe(PRICE)
        await someone.until(lambda: ("stale", "silent") in states(someone))
        await publisher.ticker("2")
        await someone.until(lambda: states(someone)[-1] == ("live", ""))


async def test_a_source_that_is_back_is_live_once_its_prices_are(
    redis_server: EmbeddedServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publisher.ticker("1")
    await publisher.closed(0)
    config = make_config(redis_server, market={"stale_after_s": 0.5})
    async with serving(config, ready=False) as up, client(up) as someone:
        await someone.subscribe(PRICE, BARS)

        async def is_priced() -> bool:
            # A source that never sends a price needs none: what is published before the gateway listens is lost.
            await publisher.ticker("1")
            await asyncio.sleep(0.02)
            return bool(up.inside.feed_state.times.last_price_s)

        while not await is_priced():
            pass
        for number in (1, 2):
            await someone.until(lambda: states(someone) and states(someone)[-1] == ("stale", "silent"))
            # As on a line that is slow, klines come first.
            await publisher.closed(number)
            await until(lambda: time.monotonic() - up.inside.feed_state.last_message_s < 0.3, "the news")
            await asyncio.sleep(0.1)
            assert states(someone)[-1] == ("stale", "silent"), "the price is an old one"
            await publisher.ticker(str(number + 1))
            await someone.until(lambda: states(someone)[-1] == ("live", ""))
        # One that gives up its prices for good has none: what it still sends is live.
        await someone.until(lambda: states(someone)[-1] == ("stale", "silent"))
        monkeypatch.setattr(feed_state, "PRICES_WAIT_S", 0.1)
        for number in range(3, 9):
            await publisher.closed(number)
            await asyncio.sleep(0.1)
        await someone.until(lambda: states(someone)[-1] == ("stale", "prices"))


class TestAbsentAtStart:
    async def test_the_gateway_serves_says_why_it_is_not_ready_and_heals(self) -> None:
        server = EmbeddedServer()
        async with serving(make_config(server), ready=False) as up, client(up) as someone:
            assert (await up.get("/healthz")).status_code == 200
            assert (await up.fresh(503)).json()["reasons"] == ["feed: redis"]
            assert (await up.ready(503)).json()["reasons"] == [STARTING], "it has nothing to serve, not even stale data"
            # Nobody can say yet what there is: any symbol is taken at its word.
            await someone.subscribe(BARS, PRICE)
            assert someone.view(PRICE).ticker is None
            assert someone.view(BARS).forming is None
            assert someone.view(BARS).state == "stale"
            with server:
                async with Publisher(server) as publisher:
                    await publisher.ticker("7")
                    for number in range(3):
                        await publisher.closed(number)
                    await publisher.forming(3)
                    await up.fresh()
                    await up.ready()
                    # The first message may have come before it listened.
                    await publisher.forming(3)
                    await someone.until(lambda: (someone.view(PRICE).ticker or {"c": ""})["c"] == "7")
                    await someone.until(lambda: someone.view(BARS).forming)
                    await someone.until(lambda: someone.view(BARS).state == "live")
                    bars = numbers(someone.view(BARS))
                    assert bars == list(range(bars[0], 3)) if bars else True


async def test_a_collector_that_goes_through_outages_too_leaves_no_gap(redis_server: EmbeddedServer) -> None:
    """Bars of a second, a simulated exchange, an outage of some of them."""
    config = make_config(redis_server, market={"intervals": ("1s",), "close_grace_ms": 500})
    simulation = Simulation(("BTCUSDT", "ETHUSDT"), ("1s",), Activity(rate=20.0, forming_s=0.1))
    collector = make_collector(simulation, config.redis)
    collecting = asyncio.create_task(collector.run())
    await asyncio.wait_for(collector.seeded.wait(), WAIT_S)
    channels = ["kline:BTCUSDT:1s", "kline:ETHUSDT:1s"]
    try:
        async with serving(config) as up, client(up) as someone:
            await someone.subscribe(*channels, history=20)
            views = [someone.view(channel) for channel in channels]
            for _ in range(2):
                redis_server.kill()
                await someone.until(lambda: all(view.state == "stale" for view in views))
                await asyncio.sleep(2.2)
                redis_server.start()
                await someone.until(lambda: all(view.state == "live" for view in views))
                later = [(view.cursor or 0) + 2000 for view in views]
                await someone.until(lambda later=later: all(map(_reached, views, later)))  # type: ignore[misc]
            for view in views:
                opens = [kline.open_time // 1000 for kline in view.closed]
                assert opens == list(range(opens[0], opens[-1] + 1))
                assert len(opens) >= 20
    finally:
        collecting.cancel()
        await asyncio.gather(collecting, return_exceptions=True)


class TestShutdown:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.varied
    async def test_clients_are_told_to_come_back_and_nothing_is_left(
        self, redis_server: EmbeddedServer, publisher: Publisher, number: signal.Signals
    ) -> None:
        await publisher.ticker("1")
        await publisher.closed(0)
        async with process(make_config(redis_server)) as up:
            assert up.process is not None
            async with client(up) as one, client(up) as other:
                await one.subscribe(BARS, PRICE)
                await publisher.closed(1)
                await one.until(lambda: numbers(one.view(BARS))[-1:] == [1])
                children = psutil.Process(up.process.pid).children(recursive=True)
                up.process.send_signal(number)
                assert [await one.closed(), await other.closed()] == [1012, 1012]
                waits = [int(notice["retry_ms"]) for reported in (one, other) for notice in reported.said("shutdown")]
                assert len(waits) == 2
                assert min(waits) > 0
            assert await asyncio.wait_for(up.process.wait(), WAIT_S) == 0
            assert children == []
            assert up.process.stderr is not None
            assert b"Traceback" not in await up.process.stderr.read()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", up.port)).close()

    async def test_while_redis_is_away(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        await publisher.ticker("1")
        async with process(make_config(redis_server)) as up, client(up) as someone:
            await someone.subscribe(PRICE)
            redis_server.kill()
            await someone.until(lambda: someone.view(PRICE).state == "stale")
            assert up.process is not None
            up.process.send_signal(signal.SIGTERM)
            assert await someone.closed() == 1012
            assert await asyncio.wait_for(up.process.wait(), WAIT_S) == 0

    async def test_while_redis_is_frozen(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        await publisher.ticker("1")
        async with process(make_config(redis_server)) as up, client(up) as someone:
            await someone.subscribe(PRICE)
            redis_server.freeze()
            try:
                assert up.process is not None
                up.process.send_signal(signal.SIGTERM)
                assert await someone.closed() == 1012
                assert await asyncio.wait_for(up.process.wait(), WAIT_S) == 0
            finally:
                redis_server.thaw()

    async def test_clients_are_served_until_their_turn_comes_and_nobody_new_gets_in(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.ticker("1")
        async with process(make_config(redis_server)) as up, AsyncExitStack() as stack:
            assert up.process is not None
            crowd = [await stack.enter_async_context(client(up)) for _ in range(60)]
            for someone in crowd:
                await someone.subscribe(BARS, PRICE)
            up.process.send_signal(signal.SIGTERM)
            for someone in crowd:
                await someone.until(lambda someone=someone: someone.said("shutdown"))  # type: ignore[misc]
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", up.port)).close()
            # All are told at once; whose turn is later still gets what closes meanwhile.
            await publisher.closed(0)
            assert [await someone.closed() for someone in crowd] == [1012] * 60
            assert await asyncio.wait_for(up.process.wait(), WAIT_S) == 0
            got = [numbers(someone.view(BARS)) for someone in crowd]
            assert [0] in got

    async def test_does_not_wait_for_who_does_not_read(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        await publisher.ticker("1")
        async with process(make_config(redis_server)) as up:
            assert up.process is not None
            async with peer(up.port, handshake("x", "/v1/stream"), receive_buffer=4096) as stalled:
                for number in range(3000):
                    stalled.command(op="ping", id="x" * 60 + str(number % 1000))
                await asyncio.sleep(0.3)
                up.process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(up.process.wait(), WAIT_S) == 0
