"""When a source last brought usable data: which messages are looked at, and what they say of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from gateway.feed.usable_data import TRIES, Lane, UsableTimes
from gateway.redis.contract import Topic

SAMPLE_S = 1.0
TICKER, KLINE = Topic("BTCUSDT", ""), Topic("BTCUSDT", "1m")
GARBAGE = b"?"


@dataclass
class Judged:
    """A source whose garbage is known by its first byte, and what of it was looked at."""

    looked_at: list[bytes] = field(default_factory=list)
    now_s: float = 100.0

    def __post_init__(self) -> None:
        self.times = UsableTimes(self._is_usable, SAMPLE_S)

    def _is_usable(self, topic: Topic, payload: bytes) -> bool:
        self.looked_at.append(payload)
        return not payload.startswith(GARBAGE)

    def bring(self, *payloads: bytes, topic: Topic = TICKER, after_s: float = 0.0) -> list[Lane]:
        self.now_s += after_s
        return self.times.note([(topic, payload) for payload in payloads], self.now_s)


@pytest.fixture
def judged() -> Judged:
    return Judged()


def test_before_anything_has_come_no_lane_was_ever_usable(judged: Judged) -> None:
    assert judged.times.newest_s == -math.inf
    assert [judged.times.last_s(lane) for lane in Lane] == [-math.inf] * 2


def test_each_lane_is_usable_for_itself(judged: Judged) -> None:
    assert judged.bring(b"1") == [Lane.PRICES]
    assert judged.bring(b"2", topic=KLINE, after_s=5) == [Lane.KLINES]
    assert (judged.times.last_s(Lane.PRICES), judged.times.last_s(Lane.KLINES)) == (100, 105)
    assert judged.times.newest_s == 105
    both = [(TICKER, b"3"), (KLINE, GARBAGE)]
    assert judged.times.note(both, 110) == [Lane.PRICES]


def test_garbage_is_not_usable_and_is_looked_at_each_time(judged: Judged) -> None:
    for number in range(3):
        assert judged.bring(GARBAGE + bytes([number])) == []
    assert len(judged.looked_at) == 3
    assert judged.times.newest_s == -math.inf


def test_after_a_usable_message_others_count_unseen_until_the_next_sample(judged: Judged) -> None:
    judged.bring(b"1")
    assert judged.bring(GARBAGE, after_s=SAMPLE_S / 2) == [Lane.PRICES]
    assert judged.bring(GARBAGE, topic=KLINE) == []
    assert judged.looked_at == [b"1", GARBAGE]
    assert judged.bring(GARBAGE, after_s=SAMPLE_S / 2) == []
    assert judged.times.last_s(Lane.PRICES) == 100 + SAMPLE_S / 2


def test_a_payload_that_is_repeated_says_nothing_new(judged: Judged) -> None:
    judged.bring(b"1")
    assert judged.bring(b"1", after_s=SAMPLE_S) == []
    assert judged.bring(b"1", after_s=SAMPLE_S) == []
    assert judged.bring(b"2") == [Lane.PRICES]


def test_one_usable_message_among_garbage_is_enough(judged: Judged) -> None:
    assert judged.bring(GARBAGE, b"1", GARBAGE) == [Lane.PRICES]


def test_of_many_messages_some_are_looked_at_and_others_the_next_time(judged: Judged) -> None:
    bad = [GARBAGE + bytes([number]) for number in range(2 * TRIES - 1)]
    some = [(Topic(f"S{number}", ""), payload) for number, payload in enumerate([*bad, b"1"])]
    assert judged.times.note(some, 100) == []
    assert len(judged.looked_at) == TRIES
    again = [(topic, payload + b"+") for topic, payload in some]
    assert judged.times.note(again, 100) == [Lane.PRICES]
    assert len(judged.looked_at) == 2 * TRIES
