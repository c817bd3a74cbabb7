"""Which feed is active: pub/sub, a fallback, and the way back; in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.config import FeedConfig, RedisConfig
from gateway.feed.auto import AutoFeed
from gateway.feed.key_reader import KeyReader
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from gateway.redis.contract import Topic, Topics
from tests.builders import closed_klines, ticker
from tests.unit.feed.doubles import CONNECTED, FakeDeployment, RecordingSink
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.feed.pubsub import FeedSink
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

AFTER_S = 4.0
CONFIG = RedisConfig(retry_s=(1.0,), watchdog_s=2.0)
BTC = Topic("BTCUSDT", "")


class Fallback:
    """A feed that connects at once and counts a little."""

    thinned = switches = 0

    def __init__(self, mode: str, sink: FeedSink, problem: str) -> None:
        self.mode = mode
        self.problem = problem
        self.sink = sink
        self.reconnects = 1
        self.received_bytes = 100
        self.ended = False
        self.connects = True
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        try:
            if self.connects:
                self.sink.connected()
            await self.failure
        finally:
            self.ended = True


class World:
    """A collector that writes BTCUSDT every second, a market, and what the feed is made of."""

    def __init__(self) -> None:
        self.redis = FakeDeployment({"MGET": self._mget, "CONFIG": [b"notify-keyspace-events", b"K$z"]})
        self.stored = [b"ticker:BTCUSDT"]
        self.redis.answers["SCAN"] = lambda *_: (b"0", self.stored)
        self.redis.answers["DBSIZE"] = lambda: len(self.stored)
        self.sink = RecordingSink()
        self.symbols_known = True
        self.ticker_ms: int | None = None
        self.delivers = False
        """Whether what is written arrives in the market."""
        self.writes = True
        self.closed_klines: list[Kline] = []
        self.read_error: Exception | None = None
        self.fallbacks: list[Fallback] = []
        self.fallback_problem = ""
        self.fallback_connects = True

    def symbols(self) -> list[str]:
        return ["BTCUSDT"] if self.symbols_known else []

    def ticker(self, symbol: str) -> Ticker | None:
        if self.delivers:
            return ticker(event_time_ms=self._now_ms())
        return None if self.ticker_ms is None else ticker(event_time_ms=self.ticker_ms)

    def peek(self, symbol: str, interval: str) -> Series:
        series = Series(symbol, INTERVALS[interval], 16)
        for kline in self.closed_klines:
            series.apply_kline(kline, kline.close_time_ms + 1)
        return series

    def make(self, mode: str, sink: FeedSink) -> Fallback:
        self.fallbacks.append(Fallback(mode, sink, self.fallback_problem))
        self.fallbacks[-1].connects = self.fallback_connects
        return self.fallbacks[-1]

    @asynccontextmanager
    async def running(self, **config: Any) -> AsyncIterator[AutoFeed]:
        topics = Topics(CONFIG, ("1m",), "[A-Z]+")
        reader = KeyReader(self.redis, topics, self.sink.ingest)
        settings = FeedConfig(mode="auto", auto_after_s=AFTER_S, **config)
        loop = asyncio.get_running_loop()
        feed = AutoFeed(CONFIG, settings, topics, reader, self.sink, self.redis, self, self.make, loop.time)
        task = asyncio.create_task(feed.run())
        try:
            yield feed
            assert not task.done(), "it runs until it is cancelled"
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _now_ms(self) -> int:
        return int(asyncio.get_running_loop().time()) * 1000

    def _mget(self, *keys: str) -> Any:
        if self.read_error:
            return self.read_error
        stamp = b"%d" % self._now_ms() if self.writes else b"1"
        return [stamp if key.startswith("ticker") else None for key in keys]


@in_virtual_time
async def test_pubsub_stays_while_it_delivers() -> None:
    world = World()
    world.delivers = True
    async with world.running() as feed:
        await asyncio.sleep(20 * AFTER_S)
        assert (feed.mode, feed.switches, feed.problem) == ("pubsub", 0, "")
        assert world.sink.states == [CONNECTED]


@in_virtual_time
async def test_pubsub_stays_while_nothing_is_written() -> None:
    world = World()
    world.writes = False
    async with world.running() as feed:
        await asyncio.sleep(20 * AFTER_S)
        assert feed.mode == "pubsub"


@pytest.mark.parametrize(
    ("setting", "config", "mode"),
    [
        pytest.param(b"K$z", {}, "keyspace", id="on"),
        pytest.param(b"", {}, "poll", id="off"),
        pytest.param(b"", {"enable_notifications": True}, "keyspace", id="may-be-switched-on"),
    ],
)
def test_what_is_written_and_does_not_arrive_needs_a_fallback(
    setting: bytes, config: dict[str, Any], mode: str
) -> None:
    @in_virtual_time
    async def run() -> None:
        world = World()
        world.redis.answers["CONFIG"] = [b"notify-keyspace-events", setting]
        async with world.running(**config) as feed:
            await asyncio.sleep(2 * AFTER_S)
            assert (feed.mode, feed.switches) == (mode, 1)
            assert world.sink.states[0] == CONNECTED
            assert "tickers are written, but no message" in world.sink.states[1]
            assert world.sink.states[2:] == [CONNECTED]
            assert feed.reconnects == 1
            assert feed.received_bytes >= 100

    run()


@in_virtual_time
async def test_notifications_that_do_not_come_lead_to_polling() -> None:
    world = World()
    async with world.running() as feed:
        await asyncio.sleep(4 * AFTER_S)
        assert [one.mode for one in world.fallbacks] == ["keyspace", "poll"]
        assert world.fallbacks[0].ended
        assert (feed.mode, feed.switches) == ("poll", 2)
        assert feed.reconnects == 2, "totals include feeds that have ended"


@in_virtual_time
async def test_a_fallback_with_a_problem_gives_it_as_the_reason() -> None:
    world = World()
    world.fallback_problem, world.fallback_connects = "switch them on", False
    async with world.running() as feed:
        await asyncio.sleep(2 * AFTER_S)
        assert feed.problem == "switch them on"
        await asyncio.sleep(2 * AFTER_S)
        assert feed.mode == "poll"
        assert "switch them on" in world.sink.states


@in_virtual_time
async def test_a_server_that_refuses_subscriptions_needs_a_fallback_at_once() -> None:
    world = World()
    world.writes = False
    world.redis.connect_error = RedisConnectionError("refused")
    async with world.running() as feed:
        await asyncio.sleep(2 * AFTER_S)
        assert feed.mode == "keyspace"


@in_virtual_time
async def test_messages_on_the_channels_lead_back_to_pubsub() -> None:
    world = World()
    async with world.running() as feed:
        await asyncio.sleep(2 * AFTER_S)
        world.delivers = True
        for _ in range(30):
            world.redis.transport.publish(b"ticker:BTCUSDT", b"{}")
            await asyncio.sleep(0.5)
        assert feed.mode == "pubsub"
        assert world.sink.states[-1] == CONNECTED
        assert world.fallbacks[0].ended
        assert (BTC, b"{}") in world.sink.messages


@in_virtual_time
async def test_the_way_back_takes_longer_each_time_it_was_in_vain() -> None:
    world = World()
    kept_s: list[float] = []
    async with world.running() as feed:
        clock = asyncio.get_running_loop().time
        for _ in range(3):
            world.delivers = False
            for _ in range(100):
                if feed.mode == "pubsub":
                    await asyncio.sleep(0.1)
            began_s = clock()
            world.delivers = True
            while feed.mode != "pubsub":
                world.redis.transport.publish(b"ticker:BTCUSDT", b"{}")
                await asyncio.sleep(0.5)
            kept_s.append(clock() - began_s)
    assert kept_s == sorted(kept_s)
    assert kept_s[2] >= 4 * AFTER_S


@in_virtual_time
async def test_a_lost_standby_subscription_is_kept_from_the_sink() -> None:
    world = World()
    async with world.running():
        await asyncio.sleep(2 * AFTER_S)
        world.delivers = True
        states = list(world.sink.states)
        world.redis.transport.lose()
        await asyncio.sleep(3)
        assert world.sink.states == states


@in_virtual_time
async def test_keys_that_cannot_be_read_give_no_verdict() -> None:
    world = World()
    async with world.running() as feed:
        await asyncio.sleep(AFTER_S / 2)
        world.read_error = RedisConnectionError("gone")
        await asyncio.sleep(10 * AFTER_S)
        assert feed.mode == "pubsub"


@in_virtual_time
async def test_a_market_without_symbols_is_compared_with_stored_ones() -> None:
    world = World()
    world.symbols_known = False
    async with world.running() as feed:
        await asyncio.sleep(3 * AFTER_S)
        assert feed.mode == "keyspace"


@in_virtual_time
async def test_klines_that_are_written_and_do_not_arrive_are_missing_too() -> None:
    world = World()
    world.delivers = True
    world.closed_klines = closed_klines([0])
    close_ms = world.closed_klines[-1].close_time_ms

    def answer(*keys: str) -> Any:
        number = int(asyncio.get_running_loop().time())
        return [b"%d" % (close_ms + number * 60_000 if "lastClosed" in key else number) for key in keys]

    world.redis.answers["MGET"] = answer
    async with world.running() as feed:
        await asyncio.sleep(2 * AFTER_S)
        assert feed.mode == "keyspace"
        assert world.sink.states[1].startswith("klines are written")


@in_virtual_time
async def test_a_surge_of_the_sink_is_one_of_the_feed() -> None:
    world = World()
    world.delivers = True
    async with world.running() as feed:
        await asyncio.sleep(1)
        world.sink.surging = True
        payload = b"{}".ljust(200)
        for _ in range(2):
            raw = b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$14\r\nticker:BTCUSDT\r\n$200\r\n" + payload + b"\r\n"
            world.redis.transport.send_raw(raw * 3)
            await asyncio.sleep(0.1)
        assert feed.thinned > 0


@in_virtual_time
async def test_a_bug_in_a_fallback_ends_the_feed() -> None:
    world = World()
    topics = Topics(CONFIG, ("1m",), "[A-Z]+")
    reader = KeyReader(world.redis, topics, world.sink.ingest)
    loop = asyncio.get_running_loop()
    config = FeedConfig(mode="auto", auto_after_s=AFTER_S)
    feed = AutoFeed(CONFIG, config, topics, reader, world.sink, world.redis, world, world.make, loop.time)
    task = asyncio.create_task(feed.run())
    await asyncio.sleep(2 * AFTER_S)
    world.fallbacks[0].failure.set_exception(ValueError("bug"))
    with pytest.raises(ValueError, match="bug"):
        await task


@in_virtual_time
async def test_what_a_collector_begins_to_write_into_an_empty_store_is_read_at_once() -> None:
    world = World()
    world.symbols_known, world.writes, world.stored = False, False, []
    async with world.running():
        await asyncio.sleep(20)
        connected = world.sink.states.count(CONNECTED)
        world.stored = [b"ticker:BTCUSDT"]
        await asyncio.sleep(2)
        assert world.sink.states.count(CONNECTED) == connected + 1
        world.symbols_known = True
        await asyncio.sleep(60)
        assert world.sink.states.count(CONNECTED) == connected + 1
        scans = [command for command in world.redis.commands if command[0] == "SCAN"]
        await asyncio.sleep(60)
        assert [command for command in world.redis.commands if command[0] == "SCAN"] == scans, "once it has symbols"


@in_virtual_time
async def test_what_is_stored_at_the_start_is_read_by_the_first_connection_alone() -> None:
    world = World()
    world.symbols_known, world.writes = False, False
    async with world.running():
        await asyncio.sleep(20)
        assert world.sink.states == [CONNECTED]
