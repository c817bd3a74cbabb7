"""The listener on a real server that is killed, frozen, locked and choked: every gap is told, and none stays."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest
import redis
import uvloop

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

RETRY_S = (0.02, 0.04, 0.08)
BTC = Topic("BTCUSDT", "")
BTC_1M = Topic("BTCUSDT", "1m")


@dataclass
class Sink:
    """Writes down what it is told, and when."""

    log: list[str] = field(default_factory=list)
    disconnected_s: list[float] = field(default_factory=list)
    messages: list[tuple[Topic, bytes]] = field(default_factory=list)
    batches: int = 0
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    surging: bool = False

    def connected(self) -> None:
        self.log.append("linked")
        self._told.set()

    def disconnected(self, reason: str) -> None:
        self.log.append(reason)
        self.disconnected_s.append(asyncio.get_running_loop().time())
        self._told.set()

    def ingest(self, batch: list[tuple[Topic, bytes]]) -> None:
        self.messages += batch
        self.batches += 1
        self._told.set()

    @property
    def links(self) -> int:
        return self.log.count("linked")

    @property
    def losses(self) -> list[str]:
        return [entry for entry in self.log if entry != "linked"]

    def lost_more_than(self, times: int) -> bool:
        return len(self.losses) > times

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._told.clear()
                await self._told.wait()


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@contextlib.asynccontextmanager
async def listening(url: str, **settings: Any) -> AsyncGenerator[tuple[PubSubFeed, Sink]]:
    common: dict[str, Any] = {"retry_s": RETRY_S, "watchdog_s": 5.0, "connect_timeout_s": 0.5}
    config = RedisConfig(url=url, **common | settings)
    sink = Sink()
    topics = Topics(config, ("1m", "1h"), DEFAULT_SYMBOL_PATTERN)
    listener = PubSubFeed(config, topics, sink, make_deployment(config))
    task = asyncio.create_task(listener.run())
    try:
        yield listener, sink
        assert not task.done(), "it runs until it is cancelled"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def poll(condition: Callable[[], bool]) -> None:
    """Wait for something that only the server knows."""
    deadline_s = asyncio.get_running_loop().time() + WAIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s
        await asyncio.sleep(0.02)


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=WAIT_S)


def waits(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The waits before the next attempt that were announced so far."""
    return [
        record.getMessage().rpartition("next attempt in ")[2]
        for record in caplog.records
        if record.args and record.levelno == logging.WARNING
    ]


# While all is well


async def test_linked_means_that_nothing_is_missed_from_now_on(server: EmbeddedServer) -> None:
    async with listening(server.url) as (listener, sink):
        await sink.until(lambda: sink.links == 1)
        with client(server.url) as link:
            assert link.pubsub_numpat() == 2
            assert link.publish("ticker:BTCUSDT", b'{"c":"1"}') == 1
            assert link.publish("klines:BTCUSDT:1m", b'{"t":1}') == 1
        await sink.until(lambda: len(sink.messages) == 2)
        assert sink.messages == [(BTC, b'{"c":"1"}'), (BTC_1M, b'{"t":1}')]
        assert sink.log == ["linked"]
        assert listener.reconnects == 0


async def test_many_messages_arrive_in_order_and_in_few_batches(server: EmbeddedServer) -> None:
    sent = [(BTC, b"%d" % number) if number % 3 else (BTC_1M, b"%d" % number) for number in range(5000)]
    async with listening(server.url) as (_, sink):
        await sink.until(lambda: sink.links == 1)
        with client(server.url) as link, link.pipeline(transaction=False) as pipeline:
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
    async with listening(server.url) as (_, sink):
        await sink.until(lambda: sink.links == 1)
        with client(server.url) as link:
            link.publish("ticker:BTCUSDT", payload)
            link.publish("ticker:BTCUSDT", b"after")
        await sink.until(lambda: len(sink.messages) == 2)
        assert sink.messages == [(BTC, payload), (BTC, b"after")]


async def test_channels_that_are_not_of_the_contract_are_counted_and_go_no_further(server: EmbeddedServer) -> None:
    async with listening(server.url) as (listener, sink):
        await sink.until(lambda: sink.links == 1)
        with client(server.url) as link:
            foreign = ["ticker:btc", "ticker:BTCUSDT:lastUpdate", "klines:BTCUSDT:5m", "klines:BTCUSDT:1m:x"]
            for channel in foreign:
                assert link.publish(channel, b"{}") == 1
            assert link.publish("orders:BTCUSDT", b"{}") == 0
            link.publish("ticker:BTCUSDT", b"{}")
        await sink.until(lambda: bool(sink.messages))
        assert sink.messages == [(BTC, b"{}")]


async def test_in_a_surge_the_newest_of_a_ticker_is_enough_and_nothing_else_is_left_out(server: EmbeddedServer) -> None:
    whole = [b'{"c":"%d"%b}' % (number, b" " * 120) for number in range(50)]
    diff, closed = b'{"c":"7"}', b'{"x":true}'
    async with listening(server.url) as (listener, sink):
        await sink.until(lambda: sink.links == 1)
        sink.surging = True
        with client(server.url) as link:
            link.publish("ticker:BTCUSDT", whole[0])
            await sink.until(lambda: len(sink.messages) == 1)
            # One write, so that one read brings them all.
            pipeline = link.pipeline(transaction=False)
            for payload in whole[1:]:
                pipeline.publish("ticker:BTCUSDT", payload)
                pipeline.publish("klines:BTCUSDT:1m", closed)
            pipeline.publish("ticker:BTCUSDT", diff)
            pipeline.execute()
        await sink.until(lambda: (BTC, diff) in sink.messages)
        tickers = [payload for topic, payload in sink.messages if topic == BTC]
        assert tickers[-2:] == [whole[-1], diff]
        assert len(tickers) < len(whole)
        assert sink.messages.count((BTC_1M, closed)) == len(whole) - 1
        assert listener.thinned == 2 * len(whole) - len(sink.messages)


async def test_channels_may_have_other_names_and_the_server_another_kind_of_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    async with (
        EmbeddedServer(unix_socket=path) as server,
        listening(f"unix://{path}", ticker_channel="[md]{symbol}", klines_channel="{{symbol}}*{interval}") as (
            listener,
            sink,
        ),
    ):
        await sink.until(lambda: sink.links == 1)
        with client(server.url) as link:
            assert link.publish("mBTCUSDT", b"not a set of letters") == 0
            assert link.publish("[md]BTCUSDT", b"1") == 1
            assert link.publish("{BTCUSDT}*1m", b"2") == 1
        await sink.until(lambda: len(sink.messages) == 2)
        assert sink.messages == [(BTC, b"1"), (BTC_1M, b"2")]


async def test_a_quiet_link_is_asked_for_a_sign_of_life_and_kept(server: EmbeddedServer) -> None:
    def pings() -> int:
        stats: Any = link.info("commandstats")
        return int(stats.get("cmdstat_ping", {"calls": 0})["calls"])

    with client(server.url) as link:
        before = pings()
        async with listening(server.url, watchdog_s=0.2) as (_, sink):
            await poll(lambda: pings() >= before + 5)
            link.publish("ticker:BTCUSDT", b"1")
            await sink.until(lambda: bool(sink.messages))
            assert sink.log == ["linked"]


# Gaps


async def test_a_killed_server_is_a_gap_and_is_tried_again_by_the_schedule_until_it_is_back(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(server.url) as (listener, sink):
        await sink.until(lambda: sink.links == 1)
        server.kill()
        await sink.until(lambda: len(sink.losses) == 5)
        assert waits(caplog) == ["0.02 s", "0.04 s", "0.08 s", "0.08 s", "0.08 s"]
        gaps = [later - earlier for earlier, later in zip(sink.disconnected_s, sink.disconnected_s[1:], strict=False)]
        assert all(gap >= wait for gap, wait in zip(gaps, (0.02, 0.04, 0.08, 0.08), strict=True))
        assert sink.links == 1
        await server.start_async()
        await sink.until(lambda: sink.links == 2)
        assert sink.log[-1] == "linked"
        assert listener.reconnects == len(sink.losses)
        with client(server.url) as link:
            assert link.publish("ticker:BTCUSDT", b"back") == 1
        await sink.until(lambda: sink.messages == [(BTC, b"back")])


async def test_a_link_that_worked_starts_the_schedule_anew(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(server.url) as (_, sink):
        for _ in range(4):
            losses = len(sink.losses)
            await sink.until(lambda: sink.log[-1:] == ["linked"])
            with client(server.url) as link:
                link.client_kill_filter(_type="pubsub")
            await sink.until(partial(sink.lost_more_than, losses))
        await sink.until(lambda: sink.links == 5)
        assert waits(caplog) == ["0.02 s"] * 4
        assert sink.log == ["linked", *["closed by the server", "linked"] * 4]


async def test_a_frozen_server_is_found_out_within_the_watchdog_time(server: EmbeddedServer) -> None:
    watchdog_s = 1.0
    async with listening(server.url, watchdog_s=watchdog_s, connect_timeout_s=0.2) as (_, sink):
        await sink.until(lambda: sink.links == 1)
        server.freeze()
        frozen_s = asyncio.get_running_loop().time()
        await sink.until(lambda: len(sink.losses) == 1)
        assert sink.losses == ["frozen: no answer in 1 s"]
        # A busy machine may be a little late.
        assert sink.disconnected_s[0] - frozen_s < 1.4 * watchdog_s
        await sink.until(lambda: len(sink.losses) == 3)
        assert sink.links == 1, "a connection that nobody answers on is no link"
        server.thaw()
        await sink.until(lambda: sink.links == 2)
        with client(server.url) as link:
            link.publish("ticker:BTCUSDT", b"thawed")
        await sink.until(lambda: sink.messages == [(BTC, b"thawed")])


async def test_an_idle_server_that_answers_within_a_step_of_the_clock_is_not_frozen(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CoarseClock:
        def time(self) -> float:
            return asyncio.get_running_loop().time() // 0.1 * 0.1

    begin = Subscription.__init__

    def begin_with_it(link: Subscription, *arguments: Any) -> None:
        begin(link, *arguments)
        monkeypatch.setattr(link, "_loop", CoarseClock())

    monkeypatch.setattr(Subscription, "__init__", begin_with_it)
    async with listening(server.url, watchdog_s=0.4) as (_, sink):
        await sink.until(lambda: sink.links == 1)
        await asyncio.sleep(1.5)
        assert sink.losses == []


async def test_being_too_slow_for_the_server_is_a_gap_and_no_torn_message_comes_of_it() -> None:
    payload = b"x" * (1 << 20)
    async with (
        EmbeddedServer(options={"client-output-buffer-limit": "pubsub 64kb 64kb 1"}) as server,
        listening(server.url) as (_, sink),
    ):
        await sink.until(lambda: sink.links == 1)
        with client(server.url) as link:
            # Nothing is read while this loop does not give way; what the kernel does not take is beyond the limit.
            receivers = list(takewhile(bool, (link.publish("ticker:BTCUSDT", payload) for _ in range(512))))
        assert 0 < len(receivers) < 512, "the server has cut us off"
        await sink.until(lambda: sink.links == 2)
        assert len(sink.losses) == 1
        assert len(sink.messages) < sum(receivers)
        assert all(message == (BTC, payload) for message in sink.messages)
        with client(server.url) as link:
            link.publish("ticker:BTCUSDT", b"after")
        await sink.until(lambda: sink.messages[-1:] == [(BTC, b"after")])


async def test_a_server_that_stops_making_sense_is_left_and_tried_again() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            senseless = b"PSUBSCRIBE" in data
            writer.write(b"?senseless\r\n" if senseless else b"+OK\r\n" * data.count(b"SETINFO"))
        writer.close()

    babbler = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = babbler.sockets[0].getsockname()[1]
    async with babbler, listening(f"redis://127.0.0.1:{port}") as (_, sink):
        await sink.until(lambda: len(sink.losses) == 2)
        assert sink.links == 0
        assert all(reason.startswith("protocol error") for reason in sink.losses)


def test_the_faster_loop_that_serves_in_production_finds_the_same_gaps(server: EmbeddedServer) -> None:
    async def scenario() -> None:
        async with listening(server.url, watchdog_s=0.4, connect_timeout_s=0.2) as (_, sink):
            await sink.until(lambda: sink.links == 1)
            server.kill()
            await sink.until(lambda: len(sink.losses) == 2)
            await server.start_async()
            await sink.until(lambda: sink.links == 2)
            with client(server.url) as link:
                link.publish("ticker:BTCUSDT", b"x" * 1_000_001)
            await sink.until(lambda: sink.messages == [(BTC, b"x" * 1_000_001)])
            server.freeze()
            await sink.until(lambda: sink.losses[-1].startswith("frozen"))
            server.thaw()
            await sink.until(lambda: sink.links == 3)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


def test_a_server_that_resets_every_connection_is_tried_again_and_again() -> None:
    """The faster loop raises an error of its own when that happens in the middle of a handshake."""

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
            async with listening(url, retry_s=(0.0001,)) as (_, sink):
                await sink.until(lambda: len(sink.losses) >= 300)
            ended = True
            await resetting

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_a_link_that_brings_only_what_is_old_is_given_up(server: EmbeddedServer) -> None:
    line = Proxy(server.port)
    try:
        async with listening(line.url, watchdog_s=0.4) as (_, sink):
            await sink.until(lambda: sink.links == 1)
            line.bytes_per_s = 4000
            with client(server.url) as link:
                while not sink.losses:
                    link.publish("ticker:BTCUSDT", b"x" * 1000)
                    await asyncio.sleep(0.01)
            assert sink.losses[0].startswith("too slow")
            # It was no silence: until the end something came.
            assert sink.messages
            line.bytes_per_s = 0
            await sink.until(lambda: sink.links == 2)
    finally:
        line.close()


# Starts that do not succeed at once


async def test_a_server_that_is_not_there_yet_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    server = EmbeddedServer()
    async with listening(server.url) as (listener, sink):
        await sink.until(lambda: len(sink.losses) == 4)
        assert waits(caplog) == ["0.02 s", "0.04 s", "0.08 s", "0.08 s"]
        assert sink.links == 0
        async with server:
            await sink.until(lambda: sink.links == 1)
            assert listener.reconnects == len(sink.losses)


async def test_a_wrong_password_is_told_without_the_password_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with EmbeddedServer(options={"requirepass": "right"}) as server:
        async with listening(server.url.replace("right", "mistaken")) as (_, sink):
            await sink.until(lambda: len(sink.losses) == 2)
            assert sink.links == 0
            assert all("invalid username-password pair" in reason for reason in sink.losses)
            assert "mistaken" not in caplog.text + "".join(sink.log)
            with client(server.url) as link:
                link.config_set("requirepass", "mistaken")
            await sink.until(lambda: sink.links == 1)
        async with listening(server.url.replace("right", "mistaken")) as (_, sink):
            await sink.until(lambda: sink.links == 1)
            assert sink.losses == []


async def test_a_user_that_may_not_subscribe_is_told_so_and_tried_again(server: EmbeddedServer) -> None:
    with client(server.url) as link:
        link.acl_setuser("reader", enabled=True, passwords=["+secret"], categories=["+@all"], reset_channels=True)
        async with listening(server.url.replace("redis://", "redis://reader:secret@")) as (_, sink):
            await sink.until(lambda: len(sink.losses) == 2)
            assert sink.links == 0
            assert all("NOPERM" in reason for reason in sink.losses)
            link.execute_command("ACL", "SETUSER", "reader", "allchannels")
            await sink.until(lambda: sink.links == 1)


# The end


async def test_a_cancelled_listener_leaves_no_connection_behind(server: EmbeddedServer) -> None:
    with client(server.url) as link:
        async with listening(server.url) as (_, sink):
            await sink.until(lambda: sink.links == 1)
            assert len(link.client_list(_type="pubsub")) == 1
        await poll(lambda: not link.client_list(_type="pubsub"))
        assert sink.log == ["linked"]
