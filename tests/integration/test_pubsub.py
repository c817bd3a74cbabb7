"""Pub/sub on a real server that is killed, frozen, locked and choked: each disconnect is reported, and none lasts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from redis import Redis

from gateway.config import RedisConfig
from gateway.feed.pubsub import PubSubFeed
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topic, Topics
from gateway.redis.deployment import make_deployment
from gateway.redis.subscription import Subscription
from loadtest.nemesis.proxy import Proxy
from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

WAIT_S = 10.0
"""Longest a test waits for something that takes a fraction of a second on an idle machine."""

CONNECTED = "connected"
RETRY_S = (0.02, 0.04, 0.08)
BTC = Topic("BTCUSDT", "")
BTC_1M = Topic("BTCUSDT", "1m")


@dataclass
class Sink:
    """Records what it is told, and when."""

    log: list[str] = field(default_factory=list)
    disconnected_s: list[float] = field(default_factory=list)
    messages: list[tuple[Topic, bytes]] = field(default_factory=list)
    batches: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    surging: bool = False
    charge: AbstractContextManager[None] = field(default_factory=nullcontext)

    def connected(self) -> None:
        self.log.append(CONNECTED)
        self._changed.set()

    def disconnected(self, reason: str) -> None:
        self.log.append(reason)
        self.disconnected_s.append(asyncio.get_running_loop().time())
        self._changed.set()

    def ingest(self, batch: list[tuple[Topic, bytes]], replaced: int = 0) -> None:
        self.messages += batch
        self.batches += 1
        self._changed.set()

    @property
    def connects(self) -> int:
        return self.log.count(CONNECTED)

    @property
    def disconnects(self) -> list[str]:
        return [entry for entry in self.log if entry != CONNECTED]

    def disconnected_more_than(self, times: int) -> bool:
        return len(self.disconnects) > times

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@contextlib.asynccontextmanager
async def reading(url: str, **settings: Any) -> AsyncGenerator[tuple[PubSubFeed, Sink]]:
    common: dict[str, Any] = {"retry_s": RETRY_S, "watchdog_s": 5.0, "connect_timeout_s": 0.5}
    config = RedisConfig(url=url, **common | settings)
    sink = Sink()
    topics = Topics(config, ("1m", "1h"), DEFAULT_SYMBOL_PATTERN)
    feed = PubSubFeed(config, topics, sink, make_deployment(config))
    task = asyncio.create_task(feed.run())
    try:
        yield feed, sink
        assert not task.done(), "it runs until it is cancelled"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def poll(condition: Callable[[], bool]) -> None:
    """Wait until the server shows it."""
    deadline_s = asyncio.get_running_loop().time() + WAIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s
        await asyncio.sleep(0.02)


def redis_client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=WAIT_S)


def waits(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The waits before the next attempt, as logged so far."""
    return [
        record.getMessage().rpartition("next attempt in ")[2]
        for record in caplog.records
        if record.args and record.levelno == logging.WARNING
    ]


# Messages


async def test_after_connected_no_message_is_missed(server: EmbeddedServer) -> None:
    async with reading(server.url) as (feed, sink):
        await sink.until(lambda: sink.connects == 1)
        with redis_client(server.url) as redis:
            assert redis.pubsub_numpat() == 3
            assert redis.publish("ticker:BTCUSDT", b'{"c":"1"}') == 1
            assert redis.publish("klines:BTCUSDT:1m", b'{"t":1}') == 1
        await sink.until(lambda: len(sink.messages) == 2)
        assert sink.messages == [(BTC, b'{"c":"1"}'), (BTC_1M, b'{"t":1}')]
        assert sink.log == [CONNECTED]
        assert feed.reconnects == 0


async def test_many_messages_arrive_in_order_and_in_few_batches(server: EmbeddedServer) -> None:
    sent = [(BTC, b"%d" % number) if number % 3 else (BTC_1M, b"%d" % number) for number in range(5000)]
    async with reading(server.url) as (_, sink):
        await sink.until(lambda: sink.connects == 1)
        with redis_client(server.url) as redis, redis.pipeline(transaction=False) as pipeline:
            for topic, payload in sent:
                pipeline.publish("klines:BTCUSDT:1m" if topic.interval else "ticker:BTCUSDT", payload)
            pipeline.execute()
        await sink.until(lambda: len(sink.messages) == len(sent))
        assert sink.messages == sent
        assert sink.batches < len(sent) / 10


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\r\n*3\r\n$8\r\npmessage\r\n", id="looks-like-the-protocol"),
        pytest.param(bytes(range(256)), id="any-byte"),
        pytest.param(b"x" * 1_000_001, id="longer-than-a-read"),
    ],
)
async def test_a_payload_arrives_byte_for_byte(server: EmbeddedServer, payload: bytes) -> None:
    async with reading(server.url) as (_, sink):
        await sink.until(lambda: sink.connects == 1)
        with redis_client(server.url) as redis:
            redis.publish("ticker:BTCUSDT", payload)
            redis.publish("ticker:BTCUSDT", b"after")
        await sink.until(lambda: len(sink.messages) == 2)
        assert sink.messages == [(BTC, payload), (BTC, b"after")]


async def test_channels_outside_the_contract_are_ignored(server: EmbeddedServer) -> None:
    async with reading(server.url) as (_feed, sink):
        await sink.until(lambda: sink.connects == 1)
        with redis_client(server.url) as redis:
            foreign = ["ticker:btc", "ticker:BTCUSDT:lastUpdate", "klines:BTCUSDT:5m", "klines:BTCUSDT:1m:x"]
            for channel in foreign:
                assert redis.publish(channel, b"{}") == 1
            assert redis.publish("orders:BTCUSDT", b"{}") == 0
            redis.publish("ticker:BTCUSDT", b"{}")
        await sink.until(lambda: bool(sink.messages))
        assert sink.messages == [(BTC, b"{}")]


async def test_a_surge_drops_older_full_tickers_of_a_read_and_nothing_else(server: EmbeddedServer) -> None:
    full = [b'{"c":"%d"%b}' % (number, b" " * 120) for number in range(50)]
    delta, closed = b'{"c":"7"}', b'{"x":true}'
    async with reading(server.url) as (feed, sink):
        await sink.until(lambda: sink.connects == 1)
        sink.surging = True
        with redis_client(server.url) as redis:
            redis.publish("ticker:BTCUSDT", full[0])
            await sink.until(lambda: len(sink.messages) == 1)
            # One write, so that one read brings them all.
            pipeline = redis.pipeline(transaction=False)
            for payload in full[1:]:
                pipeline.publish("ticker:BTCUSDT", payload)
                pipeline.publish("klines:BTCUSDT:1m", closed)
            pipeline.publish("ticker:BTCUSDT", delta)
            pipeline.execute()
        await sink.until(lambda: (BTC, delta) in sink.messages)
        tickers = [payload for topic, payload in sink.messages if topic == BTC]
        assert tickers[-2:] == [full[-1], delta]
        assert len(tickers) < len(full)
        assert sink.messages.count((BTC_1M, closed)) == len(full) - 1
        assert feed.thinned == 2 * len(full) - len(sink.messages)


async def test_channels_of_other_names_arrive_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    async with (
        EmbeddedServer(unix_socket=path) as server,
        reading(f"unix://{path}", ticker_channel="[md]{symbol}", klines_channel="{{symbol}}*{interval}") as (
            _listener,
            sink,
        ),
    ):
        await sink.until(lambda: sink.connects == 1)
        with redis_client(server.url) as redis:
            assert redis.publish("mBTCUSDT", b"not a set of letters") == 0
            assert redis.publish("[md]BTCUSDT", b"1") == 1
            assert redis.publish("{BTCUSDT}*1m", b"2") == 1
        await sink.until(lambda: len(sink.messages) == 2)
        assert sink.messages == [(BTC, b"1"), (BTC_1M, b"2")]


async def test_a_quiet_connection_is_pinged_and_kept(server: EmbeddedServer) -> None:
    def pings() -> int:
        stats: Any = redis.info("commandstats")
        return int(stats.get("cmdstat_ping", {"calls": 0})["calls"])

    with redis_client(server.url) as redis:
        before = pings()
        async with reading(server.url, watchdog_s=0.2) as (_, sink):
            await poll(lambda: pings() >= before + 5)
            redis.publish("ticker:BTCUSDT", b"1")
            await sink.until(lambda: bool(sink.messages))
            assert sink.log == [CONNECTED]


# Disconnects


async def test_a_killed_server_is_tried_by_the_schedule_until_it_is_back(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with reading(server.url) as (feed, sink):
        await sink.until(lambda: sink.connects == 1)
        server.kill()
        await sink.until(lambda: len(sink.disconnects) == 5)
        assert waits(caplog) == ["0.02 s", "0.04 s", "0.08 s", "0.08 s", "0.08 s"]
        gaps = [later - earlier for earlier, later in zip(sink.disconnected_s, sink.disconnected_s[1:], strict=False)]
        assert all(gap >= wait for gap, wait in zip(gaps, (0.02, 0.04, 0.08, 0.08), strict=True))
        assert sink.connects == 1
        await server.start_async()
        await sink.until(lambda: sink.connects == 2)
        assert sink.log[-1] == CONNECTED
        assert feed.reconnects == len(sink.disconnects)
        with redis_client(server.url) as redis:
            assert redis.publish("ticker:BTCUSDT", b"back") == 1
        await sink.until(lambda: sink.messages == [(BTC, b"back")])


async def test_a_connection_that_worked_starts_the_schedule_again(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with reading(server.url) as (_, sink):
        for _ in range(4):
            disconnects = len(sink.disconnects)
            await sink.until(lambda: sink.log[-1:] == [CONNECTED])
            with redis_client(server.url) as redis:
                redis.client_kill_filter(_type="pubsub")
            await sink.until(partial(sink.disconnected_more_than, disconnects))
        await sink.until(lambda: sink.connects == 5)
        assert waits(caplog) == ["0.02 s"] * 4
        assert sink.log == [CONNECTED, *["closed by the server", CONNECTED] * 4]


async def test_a_frozen_server_is_noticed_within_the_watchdog_time(server: EmbeddedServer) -> None:
    watchdog_s = 1.0
    async with reading(server.url, watchdog_s=watchdog_s, connect_timeout_s=0.2) as (_, sink):
        await sink.until(lambda: sink.connects == 1)
        server.freeze()
        frozen_s = asyncio.get_running_loop().time()
        await sink.until(lambda: len(sink.disconnects) == 1)
        assert sink.disconnects == ["frozen: no answer in 1 s"]
        # A busy machine may be a little late.
        assert sink.disconnected_s[0] - frozen_s < 1.4 * watchdog_s
        await sink.until(lambda: len(sink.disconnects) == 3)
        assert sink.connects == 1, "a connection that nobody answers on is not connected"
        server.thaw()
        await sink.until(lambda: sink.connects == 2)
        with redis_client(server.url) as redis:
            redis.publish("ticker:BTCUSDT", b"thawed")
        await sink.until(lambda: sink.messages == [(BTC, b"thawed")])


async def test_an_answer_within_one_step_of_the_clock_is_an_answer(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CoarseClock:
        def time(self) -> float:
            return asyncio.get_running_loop().time() // 0.1 * 0.1

    original = Subscription.__init__

    def with_coarse_clock(subscription: Subscription, *arguments: Any) -> None:
        original(subscription, *arguments)
        monkeypatch.setattr(subscription, "_loop", CoarseClock())

    monkeypatch.setattr(Subscription, "__init__", with_coarse_clock)
    async with reading(server.url, watchdog_s=0.4) as (_, sink):
        await sink.until(lambda: sink.connects == 1)
        await asyncio.sleep(1.5)
        assert sink.disconnects == []


async def test_a_reader_that_is_too_slow_is_cut_off_and_no_message_is_damaged() -> None:
    payload = b"x" * (1 << 20)
    async with (
        EmbeddedServer(options={"client-output-buffer-limit": "pubsub 64kb 64kb 1"}) as server,
        reading(server.url) as (_, sink),
    ):
        await sink.until(lambda: sink.connects == 1)
        with redis_client(server.url) as redis:
            # Nothing is read while this loop does not give way; what the kernel does not take is beyond the limit.
            receivers = list(takewhile(bool, (redis.publish("ticker:BTCUSDT", payload) for _ in range(512))))
        assert 0 < len(receivers) < 512, "the server has cut us off"
        await sink.until(lambda: sink.connects == 2)
        assert len(sink.disconnects) == 1
        assert len(sink.messages) < sum(receivers)
        assert all(message == (BTC, payload) for message in sink.messages)
        with redis_client(server.url) as redis:
            redis.publish("ticker:BTCUSDT", b"after")
        await sink.until(lambda: sink.messages[-1:] == [(BTC, b"after")])


async def test_a_server_that_breaks_the_protocol_is_left_and_tried_again() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            senseless = b"PSUBSCRIBE" in data
            writer.write(b"?senseless\r\n" if senseless else b"+OK\r\n" * data.count(b"SETINFO"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, reading(f"redis://127.0.0.1:{port}") as (_, sink):
        await sink.until(lambda: len(sink.disconnects) == 2)
        assert sink.connects == 0
        assert all(reason.startswith("protocol error") for reason in sink.disconnects)


def test_uvloop_notices_the_same_disconnects(server: EmbeddedServer) -> None:
    async def scenario() -> None:
        async with reading(server.url, watchdog_s=0.4, connect_timeout_s=0.2) as (_, sink):
            await sink.until(lambda: sink.connects == 1)
            server.kill()
            await sink.until(lambda: len(sink.disconnects) == 2)
            await server.start_async()
            await sink.until(lambda: sink.connects == 2)
            with redis_client(server.url) as redis:
                redis.publish("ticker:BTCUSDT", b"x" * 1_000_001)
            await sink.until(lambda: sink.messages == [(BTC, b"x" * 1_000_001)])
            server.freeze()
            await sink.until(lambda: sink.disconnects[-1].startswith("frozen"))
            server.thaw()
            await sink.until(lambda: sink.connects == 3)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


def test_a_server_that_resets_every_connection_is_tried_without_end() -> None:
    """uvloop raises an error of its own when that happens in the middle of a handshake."""

    async def scenario() -> None:
        ended = False

        def reset_all(taking: socket.socket) -> None:
            while not ended:
                with contextlib.suppress(OSError):
                    taken, _ = taking.accept()
                    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    taken.close()

        with socket.create_server(("127.0.0.1", 0)) as taking:
            taking.settimeout(0.2)
            resetting = asyncio.create_task(asyncio.to_thread(reset_all, taking))
            url = f"redis://127.0.0.1:{taking.getsockname()[1]}"
            async with reading(url, retry_s=(0.0001,)) as (_, sink):
                await sink.until(lambda: len(sink.disconnects) >= 300)
            ended = True
            await resetting

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_a_connection_that_lags_too_far_behind_is_given_up(server: EmbeddedServer) -> None:
    proxy = Proxy(server.port)
    try:
        async with reading(proxy.url, watchdog_s=0.4) as (_, sink):
            await sink.until(lambda: sink.connects == 1)
            proxy.bytes_per_s = 4000
            with redis_client(server.url) as redis:
                while not sink.disconnects:
                    redis.publish("ticker:BTCUSDT", b"x" * 1000)
                    await asyncio.sleep(0.01)
            assert sink.disconnects[0].startswith("too slow")
            # The connection was not silent: messages arrived until the end.
            assert sink.messages
            proxy.bytes_per_s = 0
            await sink.until(lambda: sink.connects == 2)
    finally:
        proxy.close()


# First connections that fail


async def test_a_server_that_is_not_there_yet_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    server = EmbeddedServer()
    async with reading(server.url) as (feed, sink):
        await sink.until(lambda: len(sink.disconnects) == 4)
        assert waits(caplog) == ["0.02 s", "0.04 s", "0.08 s", "0.08 s"]
        assert sink.connects == 0
        async with server:
            await sink.until(lambda: sink.connects == 1)
            assert feed.reconnects == len(sink.disconnects)


async def test_a_wrong_password_is_reported_without_it_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with EmbeddedServer(options={"requirepass": "right"}) as server:
        async with reading(server.url.replace("right", "mistaken")) as (_, sink):
            await sink.until(lambda: len(sink.disconnects) == 2)
            assert sink.connects == 0
            assert all("invalid username-password pair" in reason for reason in sink.disconnects)
            assert "mistaken" not in caplog.text + "".join(sink.log)
            with redis_client(server.url) as redis:
                redis.config_set("requirepass", "mistaken")
            await sink.until(lambda: sink.connects == 1)
        async with reading(server.url.replace("right", "mistaken")) as (_, sink):
            await sink.until(lambda: sink.connects == 1)
            assert sink.disconnects == []


async def test_a_user_that_may_not_subscribe_is_reported_and_tried_again(server: EmbeddedServer) -> None:
    with redis_client(server.url) as redis:
        redis.acl_setuser("reader", enabled=True, passwords=["+secret"], categories=["+@all"], reset_channels=True)
        async with reading(server.url.replace("redis://", "redis://reader:secret@")) as (_, sink):
            await sink.until(lambda: len(sink.disconnects) == 2)
            assert sink.connects == 0
            assert all("NOPERM" in reason for reason in sink.disconnects)
            redis.execute_command("ACL", "SETUSER", "reader", "allchannels")
            await sink.until(lambda: sink.connects == 1)


# The end


async def test_a_cancelled_feed_leaves_no_connection_behind(server: EmbeddedServer) -> None:
    with redis_client(server.url) as redis:
        async with reading(server.url) as (_, sink):
            await sink.until(lambda: sink.connects == 1)
            assert len(redis.client_list(_type="pubsub")) == 1
        await poll(lambda: not redis.client_list(_type="pubsub"))
        assert sink.log == [CONNECTED]
