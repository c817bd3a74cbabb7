"""Messages become batches; in a surge the newest whole ticker of a read stands for those before it."""

from __future__ import annotations

import pytest

from gateway.config import RedisConfig
from gateway.feed.batcher import MessageBatcher
from gateway.feed.conflate import WHOLE_MIN_BYTES
from gateway.redis.contract import Topic, Topics

BTC, BTC_1M = Topic("BTCUSDT", ""), Topic("BTCUSDT", "1m")
PRICE, BAR = b"ticker:BTCUSDT", b"klines:BTCUSDT:1m"


class Sink:
    def __init__(self) -> None:
        self.surging = False
        self.batches: list[list[tuple[Topic, bytes]]] = []

    def ingest(self, batch: list[tuple[Topic, bytes]]) -> None:
        self.batches.append(batch)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def drain(sink: Sink) -> MessageBatcher:
    return MessageBatcher(Topics(RedisConfig(), ("1m",), "[A-Z]+"), sink, at=2)


def message(channel: bytes, payload: bytes) -> list[bytes]:
    return [b"pmessage", b"*", channel, payload]


def whole(mark: bytes) -> bytes:
    return mark.ljust(WHOLE_MIN_BYTES, b".")


def test_a_read_is_one_batch_in_order_without_what_is_not_of_the_contract(drain: MessageBatcher, sink: Sink) -> None:
    drain.take([message(PRICE, b"1"), message(b"ticker:no", b"?"), message(BAR, b"2"), message(PRICE, b"3")])
    assert sink.batches == [[(BTC, b"1"), (BTC_1M, b"2"), (BTC, b"3")]]
    assert (drain.messages, drain.foreign, drain.thinned) == (3, 1, 0)


def test_a_read_of_nothing_we_know_is_no_batch(drain: MessageBatcher, sink: Sink) -> None:
    drain.take([message(b"ticker:no", b"?")])
    assert sink.batches == []


def test_in_a_surge_the_newest_whole_ticker_is_kept_and_every_kline_and_diff(drain: MessageBatcher, sink: Sink) -> None:
    drain.take([message(PRICE, whole(b"0"))])
    sink.surging = True
    messages = [message(PRICE, whole(b"1")), message(BAR, whole(b"2")), message(PRICE, b"diff")]
    messages += [message(BAR, whole(b"3")), message(PRICE, whole(b"4")), message(b"ticker:no", b"?")]
    # A channel is known to be a ticker's once it has been looked at.
    drain.take([message(PRICE, b"seen")])
    drain.take(messages)
    kept = [(BTC, whole(b"4")), (BTC_1M, whole(b"2")), (BTC, b"diff"), (BTC_1M, whole(b"3"))]
    assert sink.batches[-1] == kept
    assert drain.thinned == 1
