"""Reading keys: only changes come out, in the form in which a collector publishes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.config import RedisConfig
from gateway.feed.formats.registry import FORMATS
from gateway.feed.key_reader import TOPICS_AT_ONCE, KeyReader
from gateway.model.feed_error import Odd
from gateway.model.feed_time import FeedClock, FeedTime
from gateway.redis.contract import Topic, Topics
from tests.unit.feed.doubles import FakeDeployment, RecordingSink
from tests.virtual_time import in_virtual_time, settle

if TYPE_CHECKING:
    from collections.abc import Iterable

BTC, ETH, BTC_1M = Topic("BTCUSDT", ""), Topic("ETHUSDT", ""), Topic("BTCUSDT", "1m")
TOPICS = Topics(RedisConfig(), ("1m",), "[A-Z0-9]+")


class Keys:
    """A Redis with strings and one sorted set, and a reader of it."""

    def __init__(self) -> None:
        self.strings: dict[str, bytes] = {}
        self.members: Any = []
        self.redis = FakeDeployment(
            {
                "MGET": lambda *keys: [self.strings.get(key) for key in keys],
                "ZREVRANGE": lambda *_: self.members,
                "ZRANGEBYSCORE": lambda *_: self.members,
            }
        )
        self.sink = RecordingSink()
        self.reader = KeyReader(self.redis, TOPICS, self.sink.ingest)

    async def changes(self, *topics: Topic) -> list[tuple[Topic, bytes]]:
        self.sink.batches.clear()
        count = await self.reader.read(topics)
        assert count == len(self.sink.messages)
        return self.sink.messages


def scored(members: Iterable[tuple[int, bytes]]) -> list[bytes]:
    return [part for score, member in members for part in (member, b"%d" % score)]


@in_virtual_time
async def test_a_ticker_is_passed_on_once_per_value() -> None:
    keys = Keys()
    assert await keys.changes(BTC) == []
    keys.strings["ticker:BTCUSDT"] = b'{"c":"1"}'
    assert await keys.changes(BTC) == [(BTC, b'{"c":"1"}')]
    assert await keys.changes(BTC) == []
    keys.strings["ticker:BTCUSDT"] = b'{"c":"2"}'
    assert await keys.changes(BTC) == [(BTC, b'{"c":"2"}')]
    assert keys.reader.received_bytes == 2 * len(b'{"c":"1"}')


@pytest.mark.parametrize(
    ("value", "updated", "payload"),
    [
        pytest.param(b'{"c":"1"}', b"1700000000123", b'{"E":1700000000123,"c":"1"}', id="time"),
        pytest.param(b'{"c":"1"}', b"1700000000.123", b'{"E":1700000000123,"c":"1"}', id="seconds"),
        pytest.param(b'{"c":"1"}', b"1700000000123000", b'{"E":1700000000123,"c":"1"}', id="microseconds"),
        pytest.param(b'{"c":"1"}', b"yesterday", b'{"c":"1"}', id="unknown"),
        pytest.param(b"no JSON", b"123", b"no JSON", id="no-object"),
    ],
)
def test_a_ticker_carries_the_time_when_it_was_written(value: bytes, updated: bytes, payload: bytes) -> None:
    @in_virtual_time
    async def run() -> None:
        keys = Keys()
        keys.strings = {"ticker:BTCUSDT": value, "ticker:BTCUSDT:lastUpdate": updated}
        assert await keys.changes(BTC) == [(BTC, payload)]

    run()


@in_virtual_time
async def test_members_of_a_series_come_out_closed_and_before_prices() -> None:
    keys = Keys()
    keys.strings["ticker:BTCUSDT"] = b"{}"
    keys.members = scored([(2, b'{"t":2}'), (1, b'{"t":1,"x":true}')])
    assert await keys.changes(BTC, BTC_1M) == [
        (BTC_1M, b'{"t":1,"x":true}'),
        (BTC_1M, b'{"x":true,"t":2}'),
        (BTC, b"{}"),
    ]
    assert await keys.changes(BTC_1M) == []
    assert keys.redis.commands[-1][0] == "ZRANGEBYSCORE"


@in_virtual_time
async def test_a_key_of_another_type_is_skipped_and_the_others_are_read() -> None:
    keys = Keys()
    keys.members = ResponseError("WRONGTYPE Operation against a key")
    keys.strings["ticker:BTCUSDT"] = b"{}"
    assert await keys.changes(BTC_1M, BTC) == [(BTC, b"{}")]


@in_virtual_time
async def test_every_other_error_is_raised() -> None:
    keys = Keys()
    keys.members = ResponseError("NOPERM")
    with pytest.raises(ResponseError, match="NOPERM"):
        await keys.reader.read([BTC_1M])
    keys.redis.answers["execute_all"] = RedisConnectionError("gone")
    with pytest.raises(RedisConnectionError, match="gone"):
        await keys.reader.read([BTC])


@in_virtual_time
async def test_timestamps_are_those_of_tickers_and_series() -> None:
    keys = Keys()
    keys.strings = {"ticker:BTCUSDT:lastUpdate": b"1", "lastClosed:BTCUSDT:1m": b"2"}
    assert await keys.reader.timestamps([BTC, BTC_1M, ETH]) == {BTC: b"1", BTC_1M: b"2", ETH: None}


@in_virtual_time
async def test_many_topics_are_read_in_bounded_steps() -> None:
    keys = Keys()
    topics = [Topic(f"S{number}", "") for number in range(TOPICS_AT_ONCE + 1)]
    await keys.reader.timestamps(topics)
    assert [len(command) - 1 for command in keys.redis.commands] == [TOPICS_AT_ONCE, 1]


@in_virtual_time
async def test_symbols_come_from_the_key_space() -> None:
    keys = Keys()
    keys.redis.answers["SCAN"] = lambda cursor, match, pattern, *_: (
        b"0",
        [b"ticker:BTCUSDT"] if pattern == "ticker:*" else [b"klines:ETHUSDT:1m"],
    )
    assert await keys.reader.symbols() == {"BTCUSDT", "ETHUSDT"}


@in_virtual_time
async def test_notification_settings_are_unknown_where_the_server_does_not_say() -> None:
    keys = Keys()
    keys.redis.answers["CONFIG"] = [b"notify-keyspace-events", b"K$z"]
    assert await keys.reader.notifications() == "K$z"
    keys.redis.answers["CONFIG"] = []
    assert await keys.reader.notifications() is None
    keys.redis.answers["CONFIG"] = ResponseError("unknown command")
    assert await keys.reader.notifications() is None
    with pytest.raises(ResponseError):
        await keys.reader.set_notifications("K$z")


@in_virtual_time
async def test_a_swallowed_cancellation_is_raised_after_the_answer() -> None:
    keys = Keys()

    async def swallow(*command: Any, at: object = None) -> bytes:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return b"PONG"
        raise AssertionError

    keys.redis.execute = swallow  # type: ignore[method-assign]
    task = asyncio.create_task(keys.reader.ping())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("updated", "odd"),
    [
        pytest.param(b"1700000000123", [], id="plausible"),
        pytest.param(b"1800000000000", [Odd.FUTURE_TIME], id="future"),
        pytest.param(b"soon", [Odd.BAD_TIME], id="unreadable"),
    ],
)
def test_a_last_update_that_cannot_be_is_unknown_and_noted(updated: bytes, odd: list[Odd]) -> None:
    @in_virtual_time
    async def run() -> None:
        keys, noted = Keys(), []
        clock = FeedClock(FeedTime(10_000), lambda: 1_700_000_000_000)
        keys.reader = KeyReader(keys.redis, TOPICS, keys.sink.ingest, clock, lambda kind, _: noted.append(kind))
        keys.strings = {"ticker:BTCUSDT": b'{"c":"1"}', "ticker:BTCUSDT:lastUpdate": updated}
        ((_, payload),) = await keys.changes(BTC)
        assert payload == (b'{"E":1699999999000,"c":"1"}' if odd else b'{"E":1700000000123,"c":"1"}')
        assert noted == odd

    run()


@in_virtual_time
async def test_without_a_plausible_time_a_ticker_is_no_newer_than_the_read_before() -> None:
    keys, now_ms = Keys(), 1_700_000_000_000
    keys.reader = KeyReader(keys.redis, TOPICS, keys.sink.ingest, FeedClock(FeedTime(10_000), lambda: now_ms))

    async def read(price: int, updated: bytes) -> list[bytes]:
        keys.strings = {"ticker:BTCUSDT": b'{"c":"%d"}' % price, "ticker:BTCUSDT:lastUpdate": updated}
        return [payload for _, payload in await keys.changes(BTC)]

    assert await read(1, b"1699999999900") == [b'{"E":1699999999900,"c":"1"}']
    now_ms += 100
    assert await read(1, b"1800000000000") == [], "the same value, which may be older than what was published since"
    now_ms += 100
    assert await read(2, b"1800000000001") == [b'{"E":1700000000100,"c":"2"}']
    now_ms += 100
    assert await read(3, b"soon") == [b'{"E":1700000000200,"c":"3"}']
    now_ms += 60_000
    assert await read(4, b"1800000000003") == [b'{"E":1700000059300,"c":"4"}'], "read long ago"
    assert await read(4, b"1700000060200") == [b'{"E":1700000060200,"c":"4"}']


@in_virtual_time
async def test_members_behind_impossible_ones_are_read_at_once() -> None:
    keys = Keys()
    clock = FeedClock(FeedTime(10_000), lambda: 1_700_000_000_000)
    keys.reader = KeyReader(keys.redis, TOPICS, keys.sink.ingest, clock)
    members = scored([(1_800_000_000_000 + number, b'{"t":%d}' % number) for number in range(4)])
    answers = [members, [*members, b'{"t":9}', b"1600000000000"]]
    keys.redis.answers["ZREVRANGE"] = lambda *_: answers.pop(0)
    found = await keys.changes(BTC_1M)
    assert found[-1] == (BTC_1M, b'{"x":true,"t":9}')
    assert answers == []


@in_virtual_time
async def test_members_and_tickers_of_cryptofeed_come_as_they_are_from_sorted_sets() -> None:
    keys = Keys()
    keys.reader = KeyReader(keys.redis, TOPICS, keys.sink.ingest, payload_format=FORMATS["cryptofeed"])
    keys.members = scored([(1_700_000_000, b'{"closed":true}')])
    assert await keys.changes(BTC_1M, BTC) == [(BTC_1M, b'{"closed":true}'), (BTC, b'{"closed":true}')]
    assert {command[1] for command in keys.redis.commands} == {"klines:BTCUSDT:1m", "ticker:BTCUSDT"}
