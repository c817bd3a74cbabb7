"""Streams: cursors, new streams, trimmed ones, surges; with a Redis of scripted answers, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.config import RedisConfig
from gateway.feed.silence import NEVER, Silence
from gateway.feed.streams import BEGIN_KLINES, DISCOVER_S, READ_MAX, StreamsFeed
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.redis.contract import Topic
from gateway.redis.name_refusals import NameRefusals
from gateway.redis.stream_names import StreamNames
from tests.unit.feed.doubles import CONNECTED, FakeDeployment, RecordingSink
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIG = RedisConfig(retry_s=(1.0, 2.0))
BARS, PRICE = Topic("BTCUSDT", "1m"), Topic("BTCUSDT", "")
BAR_STREAM, PRICE_STREAM = "stream:klines:BTCUSDT:1m", "stream:ticker:BTCUSDT"


class Streams(FakeDeployment):
    """Streams in memory: names, and entries of an id and one field of JSON."""

    def __init__(self) -> None:
        super().__init__({"SCAN": self._scan, "XREVRANGE": self._newest, "XREAD": self._read, "XINFO": self._info})
        self.streams: dict[str, list[tuple[int, bytes]]] = {}
        self.last: dict[str, int] = {}
        self.error: Exception | None = None
        self.counts: list[int] = []

    def add(self, name: str, *payloads: bytes) -> None:
        for payload in payloads:
            self.last[name] = self.last.get(name, 0) + 1
            self.streams.setdefault(name, []).append((self.last[name], payload))

    async def execute(self, *command: Any, at: Any = None) -> Any:
        if self.error is not None:
            raise self.error
        answer = await super().execute(*command, at=at)
        if command[0] == "XREAD" and not answer:
            await asyncio.sleep(command[4] / 1000)
        return answer

    def _scan(self, cursor: int, _: str, pattern: str, *options: Any) -> Any:
        assert options[-2:] == ("TYPE", "stream")
        prefix = pattern.removesuffix("*").removesuffix("*:")
        return b"0", [name.encode() for name in self.streams if name.startswith(prefix)]

    def _newest(self, name: bytes, *_: Any) -> Any:
        return self._entries(name, 0)[::-1][: _[-1]]

    def _read(self, *parts: Any) -> Any:
        _, count, _, _, _, *rest = parts
        self.counts.append(count)
        names, cursors = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        found = [
            (name, self._entries(name, int(cursor.partition(b"-")[0]))[:count])
            for name, cursor in zip(names, cursors, strict=True)
        ]
        return [(name, entries) for name, entries in found if entries]

    def _info(self, _: str, name: bytes) -> Any:
        if name.decode() not in self.streams:
            return ResponseError("no such key")
        entries = self._entries(name, 0)
        first = [entries[0][0], []] if entries else None
        return [b"last-generated-id", b"%d-0" % self.last[name.decode()], b"first-entry", first]

    def _entries(self, name: bytes, after: int) -> Any:
        return [(b"%d-0" % number, {b"data": data}) for number, data in self.streams[name.decode()] if number > after]


@asynccontextmanager
async def running(
    streams: Streams, sink: RecordingSink, *, silence: Silence = NEVER, **templates: Any
) -> AsyncIterator[tuple[StreamsFeed, list[str]]]:
    missed: list[str] = []
    config = RedisConfig(retry_s=CONFIG.retry_s, **templates)
    names = StreamNames(config, ("1m",), DEFAULT_SYMBOL_PATTERN, NameRefusals())
    feed = StreamsFeed(config, names, sink, streams, lambda: missed.append("missed"), silence)
    task = asyncio.create_task(feed.run())
    await asyncio.sleep(0.005)
    try:
        yield feed, missed
        assert not task.done(), "it runs until it is cancelled"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def streams() -> Streams:
    return Streams()


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@in_virtual_time
async def test_entries_come_once_and_in_order_from_the_newest_ones_on(streams: Streams, sink: RecordingSink) -> None:
    streams.add(BAR_STREAM, *(b'{"t":%d}' % number for number in range(100)))
    streams.add(PRICE_STREAM, b'{"c":"1"}', b'{"c":"2"}')
    async with running(streams, sink) as (feed, _):
        assert sink.states == [CONNECTED]
        assert len(sink.payloads(BARS)) == BEGIN_KLINES
        assert sink.payloads(PRICE) == [b'{"c":"2"}']
        streams.add(BAR_STREAM, b'{"t":100}', b'{"t":101}')
        await asyncio.sleep(2)
        assert sink.payloads(BARS)[-3:] == [b'{"t":99}', b'{"t":100}', b'{"t":101}']
        assert feed.received_bytes == sum(len(payload) for _, payload in sink.messages)


@in_virtual_time
async def test_all_of_a_stream_that_appears_later_is_read(streams: Streams, sink: RecordingSink) -> None:
    streams.add(PRICE_STREAM, b'{"c":"1"}')
    async with running(streams, sink):
        await asyncio.sleep(3)
        streams.add(BAR_STREAM, *(b'{"t":%d}' % number for number in range(100)))
        streams.add("stream:ticker:ETHUSDT", b'{"c":"1"}', b'{"c":"2"}')
        await asyncio.sleep(DISCOVER_S + 2)
        assert len(sink.payloads(BARS)) == 100
        assert sink.payloads(Topic("ETHUSDT", "")) == [b'{"c":"2"}']


@in_virtual_time
async def test_a_feed_without_streams_is_connected_and_finds_the_first_one_soon(
    streams: Streams, sink: RecordingSink
) -> None:
    async with running(streams, sink):
        assert sink.states == [CONNECTED]
        streams.add(BAR_STREAM, b'{"t":1}')
        await asyncio.sleep(3)
        assert sink.payloads(BARS) == [b'{"t":1}']


@in_virtual_time
async def test_one_stream_for_everything_is_not_searched_for(streams: Streams, sink: RecordingSink) -> None:
    streams.add("market", b'{"s":"BTCUSDT","k":{"i":"1m"}}', b'{"s":"BTCUSDT","c":"1"}', b'{"c":"1"}')
    async with running(streams, sink, ticker_stream="market", klines_stream="market"):
        assert [topic for topic, _ in sink.messages] == [BARS, PRICE]
        assert not any(command[0] == "SCAN" for command in streams.commands)


@in_virtual_time
async def test_nothing_is_lost_while_the_connection_is(streams: Streams, sink: RecordingSink) -> None:
    streams.add(BAR_STREAM, b'{"t":0}')
    async with running(streams, sink) as (feed, missed):
        streams.error = RedisConnectionError("gone")
        await asyncio.sleep(1.5)
        streams.add(BAR_STREAM, *(b'{"t":%d}' % number for number in range(1, 200)))
        streams.error = None
        await asyncio.sleep(4)
        assert sink.payloads(BARS) == [b'{"t":%d}' % number for number in range(200)]
        assert sink.states == [CONNECTED, "gone", CONNECTED]
        assert (feed.reconnects, missed) == (1, [])


@in_virtual_time
async def test_a_stream_that_was_trimmed_beyond_the_cursor_is_told(streams: Streams, sink: RecordingSink) -> None:
    streams.add(BAR_STREAM, b'{"t":0}')
    async with running(streams, sink) as (_, missed):
        streams.error = RedisConnectionError("gone")
        await asyncio.sleep(1.5)
        streams.add(BAR_STREAM, *(b'{"t":%d}' % number for number in range(1, 10)))
        del streams.streams[BAR_STREAM][:5]
        streams.error = None
        await asyncio.sleep(4)
        assert missed == ["missed"]
        assert sink.payloads(BARS)[1:] == [b'{"t":%d}' % number for number in range(5, 10)]


@in_virtual_time
async def test_a_reader_that_is_overtaken_by_trimming_says_so(streams: Streams, sink: RecordingSink) -> None:
    streams.add(BAR_STREAM, b'{"t":0}')
    async with running(streams, sink) as (_, missed):

        def read(*parts: Any) -> Any:
            answer = streams._read(*parts)
            if answer and len(answer[0][1]) == READ_MAX:
                # Between the two reads that it takes.
                del streams.streams[BAR_STREAM][: READ_MAX + 100]
            return answer

        streams.answers["XREAD"] = read
        streams.add(BAR_STREAM, *(b"{}" for _ in range(2 * READ_MAX)))
        await asyncio.sleep(3)
        assert missed == ["missed"]
        assert sink.states == [CONNECTED, CONNECTED]
        assert max(streams.counts) == READ_MAX


@in_virtual_time
async def test_a_stream_that_begins_anew_is_read_from_its_start(streams: Streams, sink: RecordingSink) -> None:
    streams.add(BAR_STREAM, *(b'{"t":%d}' % number for number in range(50)))
    async with running(streams, sink) as (_, missed):
        streams.error = RedisConnectionError("gone")
        await asyncio.sleep(1.5)
        streams.streams[BAR_STREAM], streams.last[BAR_STREAM] = [], 0
        streams.add(BAR_STREAM, b'{"t":50}')
        streams.error = None
        await asyncio.sleep(4)
        assert missed == ["missed"]
        assert sink.payloads(BARS)[50:] == [b'{"t":50}']


@in_virtual_time
async def test_a_stream_that_is_gone_is_no_gap_and_forgotten(streams: Streams, sink: RecordingSink) -> None:
    streams.add(BAR_STREAM, b'{"t":0}')
    streams.add(PRICE_STREAM, b'{"c":"1"}')
    async with running(streams, sink) as (_, missed):
        streams.error = RedisConnectionError("gone")
        await asyncio.sleep(1.5)
        del streams.streams[BAR_STREAM]
        streams.error = None
        await asyncio.sleep(4)
        assert missed == []
        assert BAR_STREAM.encode() not in streams.commands[-1]


@in_virtual_time
async def test_in_a_surge_the_newest_full_ticker_of_a_read_is_enough(streams: Streams, sink: RecordingSink) -> None:
    streams.add(PRICE_STREAM, b'{"c":"0"}')
    async with running(streams, sink) as (feed, _):
        sink.surging = True
        full = [b'{"c":"%d","pad":"%s"}' % (number, b"x" * 120) for number in range(5)]
        await asyncio.sleep(0.5)
        streams.add(PRICE_STREAM, full[0], b'{"b":"7"}', *full[1:])
        await asyncio.sleep(2)
        assert sink.payloads(PRICE)[1:] == [b'{"b":"7"}', full[-1]]
        assert feed.thinned == sink.replaced == 4


@in_virtual_time
async def test_a_silent_server_is_read_over_new_connections(streams: Streams, sink: RecordingSink) -> None:
    streams.add(BAR_STREAM, b'{"t":0}')
    async with running(streams, sink, silence=Silence(10.0)):
        await asyncio.sleep(9)
        assert streams.refreshes == 1
        await asyncio.sleep(3)
        assert streams.refreshes == 2


@in_virtual_time
async def test_an_answer_that_the_connection_cut_off_is_a_disconnect(streams: Streams, sink: RecordingSink) -> None:
    streams.add(BAR_STREAM, b'{"t":0}')
    streams.answers["XREVRANGE"] = RedisConnectionError("cut")
    async with running(streams, sink):
        assert sink.states == ["cut"]
        streams.answers["XREVRANGE"] = streams._newest
        await asyncio.sleep(2)
        assert sink.payloads(BARS) == [b'{"t":0}']
