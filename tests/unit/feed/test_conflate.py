"""Conflation before decoding: the newest of each topic is kept, and nothing that must not be lost is dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config import RedisConfig
from gateway.feed.conflate import FULL_MIN_BYTES, Conflator, MessageBatcher
from gateway.redis.contract import Topic, Topics
from tests.builders import T0
from tests.unit.feed.doubles import RecordingSink

BTC = Topic("BTCUSDT", "")
ETH = Topic("ETHUSDT", "")
BTC_1M = Topic("BTCUSDT", "1m")
TICKER_CHANNEL, KLINE_CHANNEL, UNKNOWN_CHANNEL = b"ticker:BTCUSDT", b"klines:BTCUSDT:1m", b"ticker:no"


def message(channel: bytes, payload: bytes) -> list[bytes]:
    return [b"pmessage", b"*", channel, payload]


def full(payload: bytes) -> bytes:
    return payload.ljust(FULL_MIN_BYTES, b".")


class TestMessageBatcher:
    @pytest.fixture
    def sink(self) -> RecordingSink:
        return RecordingSink()

    @pytest.fixture
    def batcher(self, sink: RecordingSink) -> MessageBatcher:
        return MessageBatcher(Topics(RedisConfig(), ("1m",), "[A-Z]+"), sink, channel_at=2)

    def test_a_read_is_one_batch_in_order(self, batcher: MessageBatcher, sink: RecordingSink) -> None:
        messages = [(TICKER_CHANNEL, b"1"), (UNKNOWN_CHANNEL, b"?"), (KLINE_CHANNEL, b"2"), (TICKER_CHANNEL, b"3")]
        batcher.take([message(*one) for one in messages])
        assert sink.batches == [[(BTC, b"1"), (BTC_1M, b"2"), (BTC, b"3")]]
        assert batcher.thinned == 0

    def test_a_read_of_unknown_channels_only_is_no_batch(self, batcher: MessageBatcher, sink: RecordingSink) -> None:
        batcher.take([message(UNKNOWN_CHANNEL, b"?")])
        assert sink.batches == []

    def test_messages_on_refused_channels_are_counted(self, sink: RecordingSink) -> None:
        topics = Topics(RedisConfig(), ("1m",), "[A-Z]+")
        batcher = MessageBatcher(topics, sink, channel_at=2)
        refused = [message(channel, b"?") for channel in (UNKNOWN_CHANNEL, b"klines:BTCUSDT:5m", UNKNOWN_CHANNEL)]
        for sink.surging in (False, True):
            batcher.take([message(TICKER_CHANNEL, b"1"), *refused])
        assert topics.refusals.messages == {"symbol": 4, "interval": 2}
        assert sink.messages == [(BTC, b"1")] * 2

    def test_a_bundle_is_as_good_as_the_messages_it_carries(self, batcher: MessageBatcher, sink: RecordingSink) -> None:
        bundle = b'ticker:BTCUSDT {"c": "1"}\nklines:BTCUSDT:1m 2\n'
        batcher.take([message(TICKER_CHANNEL, b"0"), message(b"bundle", bundle), message(TICKER_CHANNEL, b"3")])
        assert sink.batches == [[(BTC, b"0"), (BTC, b'{"c": "1"}'), (BTC_1M, b"2"), (BTC, b"3")]]

    def test_a_bundle_of_sharded_channels_too(self, sink: RecordingSink) -> None:
        batcher = MessageBatcher(Topics(RedisConfig(), ("1m",), "[A-Z]+"), sink, channel_at=1)
        batcher.take([[b"smessage", b"bundle", b"ticker:BTCUSDT 1\n"]])
        assert sink.batches == [[(BTC, b"1")]]

    def test_lines_of_a_bundle_that_are_no_messages_cost_the_others_nothing(self, sink: RecordingSink) -> None:
        topics = Topics(RedisConfig(), ("1m",), "[A-Z]+")
        batcher = MessageBatcher(topics, sink, channel_at=2)
        long = b"x" * 100_000
        lines = [b"", b" ", b"ticker:BTCUSDT", b"ticker:no 1", long, b"bundle " * 5000, b"ticker:BTCUSDT 2"]
        batcher.take([message(b"bundle", b"\n".join(lines))])
        assert sink.batches == [[(BTC, b""), (BTC, b"2")]]
        assert topics.refusals.messages == {"symbol": 2, "interval": 0}
        assert max(map(len, topics.by_name)) < 1000
        batcher.take([message(b"bundle", b"bundle bundle\n")])
        assert len(sink.batches) == 1

    def test_in_a_surge_the_tickers_of_bundles_are_conflated_with_all_others(
        self, batcher: MessageBatcher, sink: RecordingSink
    ) -> None:
        sink.surging = True
        first, second = (b"ticker:BTCUSDT " + full(text) for text in (b"1", b"2"))
        closes = b"\n".join((b"klines:BTCUSDT:1m 1", b"klines:BTCUSDT:1m 2"))
        batcher.take([message(TICKER_CHANNEL, full(b"0")), message(b"bundle", b"\n".join((first, closes, second)))])
        assert sink.batches == [[(BTC, full(b"2")), (BTC_1M, b"1"), (BTC_1M, b"2")]]
        assert batcher.thinned == sink.replaced == 2

    def test_says_of_its_sink_what_the_reader_needs(self, batcher: MessageBatcher, sink: RecordingSink) -> None:
        assert batcher.charge is sink.charge
        for sink.surging in (False, True):
            assert batcher.surging is sink.surging

    def test_only_in_a_surge_a_read_is_reduced_before_it_is_parsed(
        self, batcher: MessageBatcher, sink: RecordingSink
    ) -> None:
        old, new = (
            b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$14\r\nticker:BTCUSDT\r\n$%d\r\n%s\r\n" % (len(text), text)
            for text in (full(b"old"), full(b"new"))
        )
        read = old * 20 + new
        assert batcher.reduce(read) == read
        sink.surging = True
        assert len(batcher.reduce(read)) < len(read)
        assert new in batcher.reduce(read)

    def test_a_surge_keeps_the_newest_full_ticker_and_all_klines_and_deltas(
        self, batcher: MessageBatcher, sink: RecordingSink
    ) -> None:
        batcher.take([message(TICKER_CHANNEL, full(b"0"))])
        sink.surging = True
        # A channel is known to be a ticker's once a surge has parsed it.
        batcher.take([message(TICKER_CHANNEL, b"first")])
        messages = [
            message(TICKER_CHANNEL, full(b"1")),
            message(KLINE_CHANNEL, full(b"2")),
            message(TICKER_CHANNEL, b"delta"),
            message(KLINE_CHANNEL, full(b"3")),
            message(TICKER_CHANNEL, full(b"4")),
            message(UNKNOWN_CHANNEL, b"?"),
        ]
        batcher.take(messages)
        assert sink.batches[-1] == [(BTC, full(b"4")), (BTC_1M, full(b"2")), (BTC, b"delta"), (BTC_1M, full(b"3"))]
        assert batcher.thinned == 1


def ticker(last: str, **fields: Any) -> bytes:
    values = {
        "e": "24hrMiniTicker",
        "E": T0,
        "s": "BTCUSDT",
        "c": last,
        "o": "1",
        "h": "2",
        "l": "3",
        "v": "4.25",
        "q": "5",
    }
    payload = json.dumps(values | fields).encode()
    assert len(payload) >= FULL_MIN_BYTES
    return payload


def kline(close: str, *, closed: bool = False) -> bytes:
    return json.dumps(
        {"t": T0, "T": T0 + 59_999, "s": "BTCUSDT", "i": "1m", "o": "1", "c": close, "h": "2", "l": "3", "v": "4",
         "n": 5, "x": closed, "q": "6"}
    ).encode()  # fmt: skip


def delta(**fields: Any) -> bytes:
    payload = json.dumps({"s": "BTCUSDT"} | fields).encode()
    assert len(payload) < FULL_MIN_BYTES
    return payload


class TestConflator:
    def test_nothing_offered_is_nothing_pending(self) -> None:
        conflator = Conflator()
        assert len(conflator) == 0
        assert list(conflator.take()) == []
        assert conflator.conflated == 0

    def test_keeps_the_newest_payload_of_each_topic_in_the_order_of_topics(self) -> None:
        conflator = Conflator()
        for topic, payload in ((BTC, ticker("1")), (ETH, ticker("2")), (BTC_1M, kline("3")), (BTC, ticker("4"))):
            assert conflator.offer(topic, payload) == ()
        assert len(conflator) == 3
        assert conflator.conflated == 1
        assert list(conflator.take()) == [(BTC, ticker("4")), (ETH, ticker("2")), (BTC_1M, kline("3"))]

    def test_take_empties_it_and_the_count_goes_on(self) -> None:
        conflator = Conflator()
        for _ in range(2):
            for last in ("1", "2", "3"):
                conflator.offer(BTC, ticker(last))
            taken = conflator.take()
            assert len(conflator) == 0
            assert list(taken) == [(BTC, ticker("3"))]
        assert conflator.conflated == 4

    def test_a_closed_kline_passes_at_once(self) -> None:
        conflator = Conflator()
        assert conflator.offer(BTC_1M, kline("1", closed=True)) == (kline("1", closed=True),)
        assert len(conflator) == 0

    def test_a_closed_kline_passes_after_the_pending_payload_of_its_series(self) -> None:
        conflator = Conflator()
        conflator.offer(BTC, ticker("1"))
        conflator.offer(BTC_1M, kline("1"))
        assert conflator.offer(BTC_1M, kline("2", closed=True)) == (kline("1"), kline("2", closed=True))
        assert list(conflator.take()) == [(BTC, ticker("1"))]
        assert conflator.conflated == 0

    def test_a_ticker_that_contains_true_is_no_closed_kline(self) -> None:
        conflator = Conflator()
        assert conflator.offer(BTC, ticker("1", trusted=True)) == ()
        assert list(conflator.take()) == [(BTC, ticker("1", trusted=True))]

    def test_a_delta_replaces_one_of_the_same_fields(self) -> None:
        conflator = Conflator()
        assert conflator.offer(BTC, delta(E=T0, c="1.5")) == ()
        assert conflator.offer(BTC, delta(E=T0 + 1, c="-12.25")) == ()
        assert conflator.conflated == 1
        assert list(conflator.take()) == [(BTC, delta(E=T0 + 1, c="-12.25"))]

    @pytest.mark.parametrize(
        "before", [pytest.param(delta(h="9"), id="delta-of-other-fields"), pytest.param(ticker("1"), id="full")]
    )
    def test_a_delta_that_would_lose_fields_lets_the_pending_payload_pass(self, before: bytes) -> None:
        conflator = Conflator()
        assert conflator.offer(BTC, before) == ()
        assert conflator.offer(BTC, delta(c="2")) == (before,)
        assert conflator.conflated == 0
        assert list(conflator.take()) == [(BTC, delta(c="2"))]

    def test_a_full_payload_replaces_a_delta(self) -> None:
        conflator = Conflator()
        conflator.offer(BTC, delta(c="2"))
        assert conflator.offer(BTC, ticker("3")) == ()
        assert conflator.conflated == 1
        assert list(conflator.take()) == [(BTC, ticker("3"))]
