"""Keyspace notifications: what is read after them, and what is said when they cannot come."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.config import FeedConfig, RedisConfig
from gateway.feed.key_reader import KeyReader
from gateway.feed.keyspace import CHECK_S, SILENT_CHECKS, UNREADABLE, KeyspaceFeed, sends_needed_events
from gateway.redis.contract import Topic, Topics
from tests.unit.feed.doubles import CONNECTED, FakeDeployment, RecordingSink
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIG = RedisConfig(retry_s=(1.0, 2.0), watchdog_s=10.0)
BTC, BTC_1M = Topic("BTCUSDT", ""), Topic("BTCUSDT", "1m")


class Server(FakeDeployment):
    """Strings, and a setting for notifications."""

    def __init__(self, setting: str | Exception | None = "K$z") -> None:
        super().__init__({"MGET": self._mget, "CONFIG": self._config, "ZREVRANGE": [b'{"t":1}', b"1"]})
        self.setting = setting
        self.strings: dict[str, bytes] = {"ticker:BTCUSDT": b'{"c":"1"}'}
        self.reads = 0
        self.read_error: Exception | None = None
        self.set_error: Exception | None = None

    def notify(self, key: bytes) -> None:
        self.transport.publish(b"__keyspace@0__:" + key, b"set")

    def _mget(self, *keys: str) -> Any:
        self.reads += 1
        return self.read_error or [self.strings.get(key) for key in keys]

    def _config(self, verb: str, name: str, setting: str = "") -> Any:
        if verb == "GET":
            return (
                self.setting if isinstance(self.setting, Exception) else [name.encode(), (self.setting or "").encode()]
            )
        if self.set_error is None:
            self.setting = setting
        return self.set_error or b"OK"


@asynccontextmanager
async def running(server: Server, sink: RecordingSink, **config: Any) -> AsyncIterator[KeyspaceFeed]:
    topics = Topics(CONFIG, ("1m",), "[A-Z]+")
    reader = KeyReader(server, topics, sink.ingest)
    feed = KeyspaceFeed(CONFIG, FeedConfig(mode="keyspace", **config), topics, reader, sink, server, 0)
    task = asyncio.create_task(feed.run())
    await asyncio.sleep(0.1)
    try:
        yield feed
        assert not task.done(), "it runs until it is cancelled"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("setting", "enough"),
    [
        ("K$z", True),
        ("KA", True),
        ("AKE", True),
        ("$zK", True),
        ("", False),
        ("$z", False),
        ("K$", False),
        ("Ez$", False),
    ],
)
def test_settings_that_send_what_is_needed(setting: str, enough: bool) -> None:
    assert sends_needed_events(setting) is enough


@in_virtual_time
async def test_a_changed_key_is_read_once_however_often_it_is_notified() -> None:
    server, sink = Server(), RecordingSink()
    async with running(server, sink) as feed:
        assert sink.states == [CONNECTED]
        for _ in range(5):
            server.notify(b"ticker:BTCUSDT")
            server.notify(b"ticker:BTCUSDT:lastUpdate")
        await asyncio.sleep(0.1)
        assert sink.messages == [(BTC, b'{"c":"1"}')]
        assert server.reads == 1
        assert feed.received_bytes > len(b'{"c":"1"}')


@in_virtual_time
async def test_a_stored_kline_is_read_after_its_notification() -> None:
    server, sink = Server(), RecordingSink()
    async with running(server, sink):
        server.notify(b"klines:BTCUSDT:1m")
        await asyncio.sleep(0.1)
        assert sink.messages == [(BTC_1M, b'{"x":true,"t":1}')]


@in_virtual_time
async def test_a_failed_read_is_reported_and_made_up_for() -> None:
    server, sink = Server(), RecordingSink()
    async with running(server, sink):
        server.read_error = RedisConnectionError("gone")
        server.notify(b"ticker:BTCUSDT")
        await asyncio.sleep(0.5)
        assert sink.states == [CONNECTED, "gone"]
        server.read_error = None
        await asyncio.sleep(1)
        assert sink.states == [CONNECTED, "gone", CONNECTED]
        assert sink.messages == [(BTC, b'{"c":"1"}')]


@in_virtual_time
async def test_a_lost_subscription_is_reported_and_connected_again() -> None:
    server, sink = Server(), RecordingSink()
    async with running(server, sink) as feed:
        server.transport.lose()
        await asyncio.sleep(0.5)
        assert sink.states == [CONNECTED, "closed by the server"]
        await asyncio.sleep(1)
        assert sink.states == [CONNECTED, "closed by the server", CONNECTED]
        assert feed.reconnects == 1


class TestNotificationsThatAreOff:
    @in_virtual_time
    async def test_are_a_problem_that_says_what_to_do(self) -> None:
        server, sink = Server(""), RecordingSink()
        async with running(server, sink) as feed:
            assert "CONFIG SET notify-keyspace-events K$z" in feed.problem
            assert CONNECTED not in sink.states
            server.setting = "KA"
            await asyncio.sleep(1.1)
            assert feed.problem == ""
            assert sink.states[-1] == CONNECTED

    @in_virtual_time
    async def test_are_switched_on_where_allowed_beside_those_of_others(self) -> None:
        server, sink = Server("Ez"), RecordingSink()
        async with running(server, sink, enable_notifications=True):
            assert server.setting == "EzK$"
            assert sink.states == [CONNECTED]

    @in_virtual_time
    async def test_that_the_server_refuses_to_switch_on_are_a_problem(self) -> None:
        server, sink = Server(""), RecordingSink()
        server.set_error = ResponseError("NOPERM")
        async with running(server, sink, enable_notifications=True) as feed:
            assert "may not do that: NOPERM" in feed.problem

    @in_virtual_time
    async def test_are_assumed_to_be_on_where_the_server_does_not_say(self) -> None:
        server, sink = Server(ResponseError("unknown command")), RecordingSink()
        async with running(server, sink) as feed:
            assert sink.states == [CONNECTED]
            assert feed.problem == ""


@in_virtual_time
async def test_a_subscription_lost_meanwhile_is_not_reported_as_connected() -> None:
    server, sink = Server(), RecordingSink()
    async with running(server, sink) as feed:
        feed.disconnected("lost")
        sink.states.clear()
        await feed._check_notifications(asyncio.get_running_loop().time())
        assert sink.states == []


@in_virtual_time
async def test_a_setting_that_changes_while_it_runs_is_restored_and_everything_is_read_again() -> None:
    server, sink = Server(), RecordingSink()
    async with running(server, sink, enable_notifications=True) as feed:
        for changed in ("", "K$", "Ex"):
            sink.states.clear()
            server.setting = changed
            # Tickers still notify after K$: it is no silence that shows the change.
            for _ in range(round(CHECK_S) + 1):
                server.notify(b"ticker:BTCUSDT")
                await asyncio.sleep(1)
            assert server.setting.startswith(changed)
            assert sends_needed_events(server.setting)
            assert (sink.states, feed.problem) == ([CONNECTED], "")


@in_virtual_time
async def test_a_setting_that_changes_and_may_not_be_restored_is_named_until_somebody_restores_it() -> None:
    server, sink = Server(), RecordingSink()
    async with running(server, sink) as feed:
        server.setting = ""
        await asyncio.sleep(CHECK_S + 1)
        assert feed.problem.startswith("notify-keyspace-events is ''; needed: CONFIG SET notify-keyspace-events K$z")
        assert sink.states[-1] == feed.problem
        server.setting = "AKE"
        await asyncio.sleep(CONFIG.retry_s[-1] + 0.1)
        assert (sink.states[-1], feed.problem) == (CONNECTED, "")


@in_virtual_time
async def test_silence_with_a_setting_that_may_not_be_read_is_a_problem_until_something_arrives() -> None:
    server, sink = Server(ResponseError("NOPERM")), RecordingSink()
    async with running(server, sink) as feed:
        await asyncio.sleep((SILENT_CHECKS + 1) * CHECK_S + 1)
        assert feed.problem == UNREADABLE
        asked = [command for command in server.commands if command[0] == "CONFIG"]
        assert len(asked) == 1, "each refused command is an entry in the server's log"
        server.notify(b"ticker:BTCUSDT")
        await asyncio.sleep(CHECK_S + 1)
        assert feed.problem == ""
        assert sink.states == [CONNECTED]
