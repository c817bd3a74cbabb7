"""One pattern subscription: what the sink is told, and when the next attempt is made."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError

from gateway.config import RedisConfig
from gateway.feed.pubsub import PubSubFeed
from gateway.feed.silence import Silence
from gateway.redis.contract import Topic, Topics
from tests.unit.feed.doubles import CONNECTED, FakeDeployment, RecordingSink
from tests.virtual_time import in_virtual_time, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIG = RedisConfig(retry_s=(1.0, 2.0, 4.0), watchdog_s=10.0)
BTC, BTC_1M = Topic("BTCUSDT", ""), Topic("BTCUSDT", "1m")


@asynccontextmanager
async def running(
    redis: FakeDeployment, sink: RecordingSink, silent_after_s: float = math.inf
) -> AsyncIterator[PubSubFeed]:
    feed = PubSubFeed(CONFIG, Topics(CONFIG, ("1m",), "[A-Z]+"), sink, redis, Silence(silent_after_s))
    task = asyncio.create_task(feed.run())
    await settle()
    try:
        yield feed
        assert not task.done(), "it runs until it is cancelled"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@in_virtual_time
async def test_subscribes_to_every_channel_and_then_reports_connected() -> None:
    redis, sink = FakeDeployment(), RecordingSink()
    redis.transport_options = {"acknowledges": False}
    async with running(redis, sink):
        assert redis.transport.commands == [[b"PSUBSCRIBE", b"ticker:*", b"klines:*:*", b"bundle"]]
        assert sink.states == []
        redis.transport.send(b"psubscribe", b"ticker:*", 1)
        redis.transport.send(b"psubscribe", b"klines:*:*", 2)
        await settle()
        assert sink.states == []
        redis.transport.send(b"psubscribe", b"bundle", 3)
        await settle()
        assert sink.states == [CONNECTED]


@in_virtual_time
async def test_messages_reach_the_sink_with_their_topics() -> None:
    redis, sink = FakeDeployment(), RecordingSink()
    async with running(redis, sink) as feed:
        redis.transport.publish(b"ticker:BTCUSDT", b"1")
        redis.transport.publish(b"klines:BTCUSDT:1m", b"2")
        await settle()
        assert sink.messages == [(BTC, b"1"), (BTC_1M, b"2")]
        assert feed.received_bytes > 0
        assert feed.thinned == 0


@in_virtual_time
async def test_every_failed_attempt_is_reported_and_the_last_wait_repeats() -> None:
    redis, sink = FakeDeployment(), RecordingSink()
    redis.connect_error = AuthenticationError("invalid password")
    async with running(redis, sink) as feed:
        # Attempts at 0, 1, 3, 7, 11 s.
        await asyncio.sleep(11.5)
        assert sink.states == ["invalid password"] * 5
        assert feed.reconnects == 5
        redis.connect_error = None
        await asyncio.sleep(4)
        assert sink.states[-1] == CONNECTED


@in_virtual_time
async def test_a_connection_that_worked_starts_the_schedule_again() -> None:
    redis, sink = FakeDeployment(), RecordingSink()
    async with running(redis, sink):
        for times in range(1, 4):
            redis.transport.lose()
            await asyncio.sleep(1.1)
            assert sink.states == [CONNECTED, *["closed by the server", CONNECTED] * times]


@in_virtual_time
async def test_what_is_read_after_a_reconnect_comes_over_new_connections() -> None:
    redis, sink = FakeDeployment(), RecordingSink()
    refreshes: list[int] = []
    sink.connected = lambda: refreshes.append(redis.refreshes)  # type: ignore[method-assign]
    async with running(redis, sink):
        redis.transport.lose()
        await asyncio.sleep(1.1)
        assert refreshes == [1, 2]


@in_virtual_time
async def test_a_connection_without_an_acknowledgement_does_not_restart_the_schedule() -> None:
    redis, sink = FakeDeployment(), RecordingSink()
    redis.transport_options = {"acknowledges": False}
    async with running(redis, sink):
        redis.transport.lose()
        await asyncio.sleep(1.1)
        redis.transport.lose()
        await asyncio.sleep(1.1)
        assert len(redis.transports) == 2
        await asyncio.sleep(1)
        assert len(redis.transports) == 3


@in_virtual_time
async def test_a_moved_server_is_left_and_found_again() -> None:
    redis, sink = FakeDeployment(), RecordingSink()
    async with running(redis, sink):
        assert redis.move is not None
        redis.move.set_result("the master has moved")
        await asyncio.sleep(1.1)
        assert sink.states == [CONNECTED, "the master has moved", CONNECTED]


@in_virtual_time
async def test_a_frozen_server_is_reported() -> None:
    redis, sink = FakeDeployment(), RecordingSink()
    redis.transport_options = {"answers_pings": False}
    async with running(redis, sink):
        await asyncio.sleep(10.5)
        assert sink.states == [CONNECTED, "frozen: no answer in 10 s"]


@in_virtual_time
async def test_a_cancelled_feed_closes_its_connection() -> None:
    redis, sink = FakeDeployment(), RecordingSink()
    async with running(redis, sink):
        pass
    assert redis.connections[-1].disconnected
    assert redis.move is not None
    assert redis.move.cancelled()
    assert sink.states == [CONNECTED]


class TestASilentLink:
    """The server answers pings, and nothing else arrives."""

    @in_virtual_time
    async def test_is_replaced_before_it_is_given_up_and_nothing_is_read_again_at_the_same_server(self) -> None:
        redis, sink = FakeDeployment(), RecordingSink()
        async with running(redis, sink, 60.0) as feed:
            await asyncio.sleep(59)
            assert len(redis.connections) == 1
            await asyncio.sleep(2)
            old, new = redis.connections
            assert (old.disconnected, new.disconnected) == (True, False)
            assert redis.refreshes == 2
            new.transport.publish(b"ticker:BTCUSDT", b"1")
            await settle()
            assert (sink.states, sink.messages) == ([CONNECTED], [(BTC, b"1")])
            assert feed.reconnects == 0

    @in_virtual_time
    async def test_at_another_server_everything_is_read_again_at_once(self) -> None:
        redis, sink = FakeDeployment(), RecordingSink()
        async with running(redis, sink, 60.0):
            redis.server_id = "run_id:2"
            await asyncio.sleep(61)
            assert sink.states == [CONNECTED, CONNECTED]

    @in_virtual_time
    async def test_at_a_server_that_does_not_say_which_it_is_the_first_message_makes_everything_be_read_again(
        self,
    ) -> None:
        redis, sink = FakeDeployment(), RecordingSink()
        redis.server_id = ""
        async with running(redis, sink, 60.0) as feed:
            await asyncio.sleep(61)
            assert sink.states == [CONNECTED]
            for payload in (b"1", b"2"):
                redis.transport.publish(b"ticker:BTCUSDT", payload)
                await settle()
            assert sink.states == [CONNECTED, CONNECTED]
            assert sink.payloads(BTC) == [b"1", b"2"]
            assert feed.received_bytes > 0

    @in_virtual_time
    async def test_is_replaced_ever_more_rarely_and_soon_again_after_a_message(self) -> None:
        redis, sink = FakeDeployment(), RecordingSink()
        async with running(redis, sink, 60.0):
            await asyncio.sleep(60 * (1 + 2 + 4 + 8 + 16 + 16) + 1)
            assert len(redis.connections) == 7
            redis.transport.publish(b"ticker:BTCUSDT", b"1")
            await asyncio.sleep(61)
            assert len(redis.connections) == 8

    @in_virtual_time
    async def test_is_kept_while_no_new_connection_can_be_made(self) -> None:
        redis, sink = FakeDeployment(), RecordingSink()
        async with running(redis, sink, 60.0):
            redis.connect_error = OSError("refused")
            await asyncio.sleep(61)
            redis.connect_error, redis.transport_options = None, {"acknowledges": False}
            await asyncio.sleep(135)
            old, *refused = redis.connections
            assert (old.disconnected, [connection.disconnected for connection in refused]) == (False, [True])
            old.transport.publish(b"ticker:BTCUSDT", b"1")
            await settle()
            assert (sink.states, sink.messages) == ([CONNECTED], [(BTC, b"1")])

    @in_virtual_time
    async def test_may_lose_nothing_that_is_under_way_while_it_is_replaced(self) -> None:
        redis, sink = FakeDeployment(), RecordingSink()
        async with running(redis, sink, 60.0):
            old = redis.transport
            await asyncio.sleep(59.5)
            old.answers_pings = False
            await asyncio.sleep(1)
            new = redis.transport
            assert new is not old
            # The new subscription exists; the old link's answer is still under way, behind a message.
            new.publish(b"ticker:BTCUSDT", b"2")
            await settle()
            assert sink.messages == []
            old.publish(b"ticker:BTCUSDT", b"1")
            for _ in range(2):
                old.send(b"pong", b"")
            await settle()
            assert sink.payloads(BTC) == [b"1", b"2"]
            assert sink.states == [CONNECTED]

    @in_virtual_time
    async def test_that_breaks_while_it_is_replaced_may_have_lost_messages(self) -> None:
        redis, sink = FakeDeployment(), RecordingSink()
        async with running(redis, sink, 60.0):
            await asyncio.sleep(59.5)
            redis.transport.answers_pings = False
            await asyncio.sleep(1)
            redis.transports[0].lose()
            await asyncio.sleep(11)
            assert redis.connections[0].disconnected
            assert sink.states == [CONNECTED, CONNECTED]
