"""What bots may rely on in Binance's kline streams: a close is an event only of a kline that closes while they are
connected; closes come in order, each once, before anything of the next kline; what cannot be told ends the connection.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from collector.encode import kline_member
from gateway.model.interval import INTERVALS
from loadtest.nemesis.proxy import Proxy
from tests.builders import MINUTE_MS, T0, kline
from tests.integration.live import SYMBOL, Publisher, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving

MODES = ("pubsub", "keyspace", "poll")
QUIET_S = 0.3
"""Many flushes and polls long."""

Event = tuple[int, bool]
"""Number of the kline from T0 on, and whether it is closed."""


def feed(mode: str) -> dict[str, Any]:
    return {"mode": mode, "poll_min_ms": 20, "poll_max_ms": 100, "poll_rest_s": 0.3, "enable_notifications": True}


class Bot:
    """One connection; what it receives of a stream of 1m klines, repetitions of the forming kline left out."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.close_code: int | None = None

    @property
    def ended(self) -> bool:
        return self.close_code is not None

    @property
    def closed(self) -> list[int]:
        return [number for number, closed in self.events if closed]

    def take(self, k: dict[str, Any]) -> None:
        event = ((k["t"] - T0) // MINUTE_MS, k["x"])
        if self.events[-1:] != [event]:
            self.events.append(event)


@asynccontextmanager
async def bot(up: Serving, stream: str = "btcusdt@kline_1m") -> AsyncIterator[Bot]:
    found = Bot()
    async with connect(f"ws://127.0.0.1:{up.port}/ws/{stream}", compression=None, proxy=None) as socket:

        async def follow() -> None:
            try:
                while True:
                    found.take(json.loads(await socket.recv())["k"])
            except ConnectionClosed:
                found.close_code = socket.close_code

        following = asyncio.create_task(follow())
        try:
            yield found
        finally:
            following.cancel()
            await asyncio.wait([following])


class TestPast:
    @pytest.mark.parametrize("mode", MODES)
    async def test_what_is_stored_at_a_start_is_no_event(
        self, redis_server: EmbeddedServer, publisher: Publisher, mode: str
    ) -> None:
        """The bot connects before the store has been read."""
        publisher._publishes = mode == "pubsub"
        for number in range(5):
            await publisher.closed(number)
        async with serving(make_config(redis_server, feed=feed(mode)), ready=False) as up, bot(up) as early:
            await up.ready()
            await asyncio.sleep(QUIET_S)
            assert early.closed == []
            async with bot(up) as late:
                for number in (5, 6):
                    await publisher.closed(number)
                    await until(lambda number=number: number in early.closed, "the close")  # type: ignore[misc]
                await asyncio.sleep(QUIET_S)
                assert early.closed == [5, 6]
                assert late.closed == [5, 6]

    @pytest.mark.parametrize("interval", ["1h", "1d"])
    async def test_no_connection_from_the_start_on_is_sent_a_kline_of_yesterday(
        self, redis_server: EmbeddedServer, interval: str
    ) -> None:
        """Klines of the present time, and a connection every 20 ms."""
        span, now_ms = INTERVALS[interval], time.time_ns() // 1_000_000
        opens = [span.back(span.open_time(now_ms), back) for back in range(5, 0, -1)]
        async with Redis.from_url(redis_server.url) as redis:
            for open_time_ms in opens:
                stored = kline()._replace(
                    open_time_ms=open_time_ms, close_time_ms=span.close_time(open_time_ms), closed=True, event_time_ms=0
                )
                await redis.zadd(
                    f"klines:{SYMBOL}:{interval}", {kline_member(SYMBOL, interval, stored): stored.close_time_ms}
                )
        received: list[Any] = []

        async def listen(port: int) -> None:
            async with connect(
                f"ws://127.0.0.1:{port}/stream?streams=btcusdt@kline_{interval}", compression=None, proxy=None
            ) as socket:
                while True:
                    received.append(json.loads(await socket.recv())["data"]["k"])

        config = make_config(redis_server, market={"intervals": ("1h", "1d")})
        async with serving(config, ready=False) as up, asyncio.TaskGroup() as group:
            listening = []
            for _ in range(25):
                listening.append(group.create_task(listen(up.port)))
                await asyncio.sleep(0.02)
            await up.ready()
            await asyncio.sleep(QUIET_S)
            for task in listening:
                task.cancel()
        assert [k for k in received if k["x"]] == []

    @pytest.mark.parametrize("mode", MODES)
    async def test_a_symbol_that_starts_late_is_followed_from_its_first_close(
        self, redis_server: EmbeddedServer, publisher: Publisher, mode: str
    ) -> None:
        publisher._publishes = mode == "pubsub"
        config = make_config(redis_server, feed=feed(mode), market={"unknown_after_s": 60.0})
        async with serving(config, ready=False) as up, bot(up) as early:
            await until(lambda: up.inside.market.read, "the first read")
            await asyncio.sleep(QUIET_S)
            for number in (0, 1):
                await publisher.closed(number)
                await until(lambda number=number: number in early.closed, "the close")  # type: ignore[misc]
            async with bot(up) as late:
                await publisher.closed(2)
                await until(lambda: 2 in early.closed and 2 in late.closed, "the close")
                assert early.closed == [0, 1, 2]
                assert late.closed == [2]

    @pytest.mark.parametrize("mode", MODES)
    async def test_after_an_outage_a_bot_is_sent_what_closed_while_it_was_connected(
        self, redis_server: EmbeddedServer, publisher: Publisher, mode: str
    ) -> None:
        publisher._publishes = mode == "pubsub"
        for number in range(3):
            await publisher.closed(number)
        link = Proxy(redis_server.port)
        config = make_config(redis_server, feed=feed(mode), redis={"url": link.url, "watchdog_s": 0.2})
        try:
            async with serving(config) as up, bot(up) as early:
                await publisher.closed(3)
                await until(lambda: early.closed == [3], "the close")
                link.blocked = True
                await until(lambda: up.inside.hub.feed_state.unread, "the outage")
                for number in (4, 5):
                    await publisher.closed(number)
                async with bot(up) as late:
                    await asyncio.sleep(QUIET_S)
                    link.blocked = False
                    await until(lambda: early.closed == [3, 4, 5], "the closes of the outage")
                    await until(lambda: not up.inside.hub.feed_state.unread, "the end of the outage")
                    await asyncio.sleep(QUIET_S)
                    await publisher.closed(6)
                    await until(lambda: 6 in early.closed and 6 in late.closed, "the next close")
                    assert early.closed == [3, 4, 5, 6]
                    assert late.closed == [6]
        finally:
            link.close()


class TestOrder:
    """The source goes on before kline 1 has closed. The gateway's own grace time is long over each time."""

    @asynccontextmanager
    async def going_on(self, server: EmbeddedServer, publisher: Publisher, **stream: Any) -> AsyncIterator[Bot]:
        await publisher.closed(0)
        config = make_config(server, market={"close_grace_ms": 20}, stream=stream)
        async with serving(config) as up, bot(up) as someone:
            await publisher.forming(1)
            await until(lambda: someone.events == [(1, False)], "kline 1")
            await publisher.forming(2)

            def shows_next() -> bool:
                forming = up.inside.market.forming(SYMBOL, "1m")
                return forming is not None and forming.open_time_ms == T0 + 2 * MINUTE_MS

            await until(shows_next, "the end of the grace time")
            yield someone

    async def test_a_close_after_the_grace_time_comes_before_the_next_kline(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with self.going_on(redis_server, publisher) as someone:
            await asyncio.sleep(QUIET_S)
            await publisher.closed(1)
            await until(lambda: (2, False) in someone.events, "kline 2")
            assert someone.events == [(1, False), (1, True), (2, False)]

    async def test_a_close_that_comes_after_the_next_one_is_told_before_it(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with self.going_on(redis_server, publisher) as someone:
            await publisher.closed(2)
            await publisher.forming(3)
            await asyncio.sleep(QUIET_S)
            await publisher.closed(1)
            await until(lambda: (3, False) in someone.events, "kline 3")
            assert someone.events == [(1, False), (1, True), (2, True), (3, False)]

    async def test_a_close_that_comes_too_late_ends_the_connection(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with self.going_on(redis_server, publisher, close_wait_s=0.1) as someone:
            await until(lambda: (2, False) in someone.events, "kline 2")
            assert someone.events == [(1, False), (2, False)]
            assert not someone.ended
            await publisher.closed(1)
            await until(lambda: someone.ended, "the end")
            assert someone.close_code == 4006
            assert someone.events == [(1, False), (2, False)]

    async def test_a_close_that_never_comes_ends_nothing(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        async with self.going_on(redis_server, publisher, close_wait_s=0.1) as someone:
            await until(lambda: (2, False) in someone.events, "kline 2")
            await publisher.closed(2)
            await publisher.forming(3)
            await until(lambda: (3, False) in someone.events, "kline 3")
            assert someone.events == [(1, False), (2, False), (2, True), (3, False)]
            assert not someone.ended


async def test_stream_and_rest_agree_about_a_derived_kline_that_lacks_a_part(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    """3m of 1m: kline 4 is missing, so the kline of 3, 4 and 5 is there while it forms, and never closes."""
    for number in (0, 1, 2):
        await publisher.closed(number)
    market = {"intervals": ("1m", "3m"), "close_grace_ms": 20}
    config = make_config(redis_server, market=market, stream={"close_wait_s": 0.1})
    async with serving(config) as up, bot(up, "btcusdt@kline_3m") as someone:

        async def opens() -> list[int]:
            rows = (await up.get(f"/api/v3/klines?symbol={SYMBOL}&interval=3m")).json()
            return [(row[0] - T0) // MINUTE_MS for row in rows]

        await publisher.closed(3)
        await publisher.closed(5)
        await until(lambda: (3, False) in someone.events, "the kline that lacks a part")
        assert await opens() == [0, 3]
        await publisher.forming(6)
        await until(lambda: (6, False) in someone.events, "the next kline")
        assert await opens() == [0, 6]
        assert someone.events == [(3, False), (6, False)]
        await publisher.closed(4)
        await until(lambda: someone.ended, "the end")
        assert someone.close_code == 4006
        assert await opens() == [0, 3, 6]
