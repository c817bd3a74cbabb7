"""Marks say what to read."""

from __future__ import annotations

from gateway.feed.key_changes import KeyChangeTracker
from gateway.redis.contract import Topic

BTC = Topic("BTCUSDT", "")
ETH = Topic("ETHUSDT", "")


def test_what_was_never_seen_is_due() -> None:
    marks = KeyChangeTracker()
    assert marks.due(BTC, b"1")
    assert marks.due(ETH, b"1")


def test_a_mark_that_moved_is_due_twice_because_the_value_may_be_written_after_it() -> None:
    marks = KeyChangeTracker()
    assert [marks.due(BTC, b"1") for _ in range(4)] == [True, True, False, False]
    assert [marks.due(BTC, b"2") for _ in range(3)] == [True, True, False]


def test_a_mark_that_goes_back_has_moved_too() -> None:
    marks = KeyChangeTracker()
    for _ in range(3):
        marks.due(BTC, b"2")
    assert marks.due(BTC, b"1")


def test_without_a_mark_there_is_no_telling() -> None:
    marks = KeyChangeTracker()
    assert [marks.due(BTC, None) for _ in range(3)] == [True, True, True]
    assert marks.due(BTC, b"1")


def test_what_is_forgotten_is_due_again() -> None:
    marks = KeyChangeTracker()
    for _ in range(3):
        marks.due(BTC, b"1")
    marks.forget(BTC)
    marks.forget(ETH)
    assert marks.due(BTC, b"1")
