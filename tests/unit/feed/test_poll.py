"""Polling: what is read how often, in virtual time."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.config import FeedConfig, RedisConfig
from gateway.feed.discovery import DISCOVER_S, SETTLE_S
from gateway.feed.key_reader import KeyReader
from gateway.feed.poll import REREAD_S, PollFeed
from gateway.feed.silence import Silence
from gateway.redis.contract import Topic, Topics
from tests.unit.feed.doubles import CONNECTED, FakeDeployment, RecordingSink
from tests.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIG = RedisConfig(retry_s=(1.0, 2.0))
FEED = FeedConfig(mode="poll", poll_min_ms=100, poll_max_ms=1000, poll_rest_s=10.0)
BTC, BTC_1M, ETH = Topic("BTCUSDT", ""), Topic("BTCUSDT", "1m"), Topic("ETHUSDT", "")

START_MS = 1_700_000_000_000


class Keys(FakeDeployment):
    """Strings, one sorted set, and when what was asked for."""

    def __init__(self, *symbols: str) -> None:
        super().__init__({"MGET": self._mget, "SCAN": self._scan, "DBSIZE": lambda: len(self.strings)})
        self.answers["ZREVRANGE"] = self.answers["ZRANGEBYSCORE"] = lambda key, *_: self.series.get(key, [])
        self.strings: dict[str, bytes] = {}
        self.series: dict[str, list[bytes]] = {}
        self.asked_s: dict[str, list[float]] = {}
        self.scans = 0
        self.error: Exception | None = None
        for symbol in symbols:
            self.ticker(symbol, 1)

    def ticker(self, symbol: str, number: int) -> None:
        self.strings[f"ticker:{symbol}"] = b'{"c":"%d"}' % number
        self.strings[f"ticker:{symbol}:lastUpdate"] = b"%d" % (START_MS + number)

    def _mget(self, *keys: str) -> Any:
        for key in keys:
            self.asked_s.setdefault(key, []).append(asyncio.get_running_loop().time())
        return self.error or [self.strings.get(key) for key in keys]

    def _scan(self, cursor: int, match: str, pattern: str, *_: Any) -> Any:
        self.scans += 1
        tickers = [name.encode() for name in self.strings if not name.endswith(":lastUpdate")]
        return self.error or (b"0", tickers if pattern == "ticker:*" else [])


@asynccontextmanager
async def running(
    keys: Keys, sink: RecordingSink, *subscribed: Topic, silent_after_s: float = math.inf
) -> AsyncIterator[PollFeed]:
    reader = KeyReader(keys, Topics(CONFIG, ("1m",), "[A-Z]+"), sink.ingest)
    feed = PollFeed(CONFIG, FEED, ("1m",), reader, sink, lambda: set(subscribed), Silence(silent_after_s))
    task = asyncio.create_task(feed.run())
    await asyncio.sleep(0.01)
    try:
        yield feed
        assert not task.done(), "it runs until it is cancelled"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@in_virtual_time
async def test_a_subscribed_ticker_is_read_when_its_timestamp_changes() -> None:
    keys, sink = Keys("BTCUSDT"), RecordingSink()
    async with running(keys, sink, BTC) as feed:
        assert sink.states == [CONNECTED]
        assert sink.messages == [(BTC, b'{"E":1700000000001,"c":"1"}')]
        keys.ticker("BTCUSDT", 2)
        await asyncio.sleep(0.2)
        assert sink.messages[1:] == [(BTC, b'{"E":1700000000002,"c":"2"}')]
        assert feed.received_bytes == 2 * len(b'{"E":1700000000001,"c":"1"}')


@in_virtual_time
async def test_polls_slow_down_while_nothing_changes() -> None:
    keys, sink = Keys("BTCUSDT"), RecordingSink()
    async with running(keys, sink, BTC):
        await asyncio.sleep(60)
        asked_s = keys.asked_s["ticker:BTCUSDT:lastUpdate"]
        assert asked_s[-1] - asked_s[-2] == pytest.approx(1.0, abs=0.01)
        keys.ticker("BTCUSDT", 2)
        await asyncio.sleep(1.5)
        asked_s = keys.asked_s["ticker:BTCUSDT:lastUpdate"]
        assert asked_s[-1] - asked_s[-2] < 0.5


@in_virtual_time
async def test_a_silent_server_is_asked_over_new_connections_ever_more_rarely() -> None:
    keys, sink = Keys("BTCUSDT"), RecordingSink()
    async with running(keys, sink, BTC, silent_after_s=10.0):
        for after_s, refreshes in ((8, 1), (4, 2), (18, 2), (5, 3)):
            await asyncio.sleep(after_s)
            assert keys.refreshes == refreshes
        keys.ticker("BTCUSDT", 2)
        await asyncio.sleep(9)
        assert keys.refreshes == 3
        await asyncio.sleep(4)
        assert keys.refreshes == 4
        assert sink.states == [CONNECTED]


@in_virtual_time
async def test_every_unsubscribed_topic_has_its_turn_in_time() -> None:
    keys, sink = Keys("BTCUSDT", "ETHUSDT"), RecordingSink()
    async with running(keys, sink, BTC):
        await asyncio.sleep(FEED.poll_rest_s + 2)
        assert (ETH, b'{"E":1700000000001,"c":"1"}') in sink.messages
        keys.ticker("ETHUSDT", 2)
        await asyncio.sleep(FEED.poll_rest_s + 2)
        assert (ETH, b'{"E":1700000000002,"c":"2"}') in sink.messages


@in_virtual_time
async def test_a_correction_of_a_subscribed_series_is_found_by_reading_it_again() -> None:
    keys, sink = Keys("BTCUSDT"), RecordingSink()
    keys.strings["lastClosed:BTCUSDT:1m"] = b"1"
    keys.series["klines:BTCUSDT:1m"] = [b'{"t":0}', b"1"]
    async with running(keys, sink, BTC_1M):
        await asyncio.sleep(5)
        assert sink.payloads(BTC_1M) == [b'{"x":true,"t":0}']
        keys.series["klines:BTCUSDT:1m"] += [b'{"t":0,"h":"2"}', b"1"]
        await asyncio.sleep(REREAD_S + 1)
        assert sink.payloads(BTC_1M) == [b'{"x":true,"t":0}', b'{"x":true,"t":0,"h":"2"}']


@in_virtual_time
async def test_the_first_symbols_of_an_empty_store_are_found_and_read_at_once() -> None:
    keys, sink = Keys(), RecordingSink()
    async with running(keys, sink):
        await asyncio.sleep(20)
        for symbol in ("NEWUSDT", "OTHERUSDT"):
            keys.ticker(symbol, 1)
            await asyncio.sleep(2.5)
            assert sink.messages[-1] == (Topic(symbol, ""), b'{"E":1700000000001,"c":"1"}')


@in_virtual_time
async def test_later_ones_are_found_by_a_regular_scan() -> None:
    keys, sink = Keys("BTCUSDT"), RecordingSink()
    async with running(keys, sink):
        await asyncio.sleep(SETTLE_S + 5)
        keys.ticker("NEWUSDT", 1)
        await asyncio.sleep(DISCOVER_S - SETTLE_S + 2)
        assert sink.messages[-1] == (Topic("NEWUSDT", ""), b'{"E":1700000000001,"c":"1"}')
        assert keys.scans == 3 * 2, "one more, because others may follow"


@in_virtual_time
async def test_a_failure_is_reported_and_what_changed_meanwhile_is_read() -> None:
    keys, sink = Keys("BTCUSDT"), RecordingSink()
    async with running(keys, sink, BTC) as feed:
        keys.error = keys.answers["PING"] = RedisConnectionError("gone")
        await asyncio.sleep(3)
        assert sink.states == [CONNECTED, "gone", "gone"]
        keys.ticker("BTCUSDT", 2)
        keys.error, keys.answers["PING"] = None, b"PONG"
        await asyncio.sleep(3)
        assert sink.states[-1] == CONNECTED
        assert sink.messages[-1] == (BTC, b'{"E":1700000000002,"c":"2"}')
        assert feed.reconnects == len(sink.states) - 2
