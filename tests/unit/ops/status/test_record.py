"""A sample a second, and events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.ops.status.record import BURST_MS, SAMPLES, Reading, Record

T0_MS = 1_700_000_000_000
FIRST = Reading(
    at_s=100.0,
    at_ms=T0_MS,
    messages=1000,
    writes=200,
    sent_bytes=5000,
    flush_s=1.0,
    flushes=100,
    lag_s=0.5,
    clients=3,
    behind=1,
    feed_age_ms=12,
    stale_reason="",
    stale_since_ms=0,
    load="normal",
    disconnects={},
    refusals={},
    feed_errors={},
    gaps=0,
)


def after(seconds: float, before: Reading = FIRST, **changes: Any) -> Reading:
    return replace(before, at_s=before.at_s + seconds, at_ms=before.at_ms + round(seconds * 1000), **changes)


@pytest.fixture
def record() -> Record:
    made = Record()
    made.take(FIRST)
    return made


def events_of(record: Record) -> list[tuple[str, str, int]]:
    return [(event.kind, event.what, event.count) for event in record.events]


def test_the_first_reading_makes_no_sample(record: Record) -> None:
    assert not any(record.samples.values())
    assert events_of(record) == [("start", "live", 1)]


def test_totals_become_rates_and_averages(record: Record) -> None:
    record.take(after(2, messages=1500, writes=260, sent_bytes=9000, flush_s=1.2, flushes=140, lag_s=0.54))
    assert {name: values[-1] for name, values in record.samples.items()} == {
        "messages_per_s": 250,
        "writes_per_s": 30,
        "bytes_per_s": 2000,
        "clients": 3,
        "behind": 1,
        "flush_ms": 5.0,
        "busy": 0.1,
        "lag_ms": 1.0,
        "feed_age_ms": 12,
    }


def test_a_second_without_a_flush_is_a_sample_too(record: Record) -> None:
    record.take(after(1))
    assert record.samples["flush_ms"][-1] == 0


def test_only_the_last_minutes_are_kept(record: Record) -> None:
    reading = FIRST
    for _ in range(SAMPLES + 5):
        reading = after(1, reading, clients=reading.clients + 1)
        record.take(reading)
    assert len(record.samples["clients"]) == SAMPLES
    assert record.samples["clients"][-1] == FIRST.clients + SAMPLES + 5


def test_an_outage_has_events_from_its_beginning_to_its_end(record: Record) -> None:
    away = after(1, stale_reason="redis")
    back = after(30, away, stale_reason="repair")
    record.take(away)
    record.take(back)
    record.take(after(12, back, stale_reason=""))
    assert events_of(record)[1:] == [("stale", "redis", 1), ("stale", "repair", 1), ("live", "after 42 s", 1)]


def test_an_outage_that_follows_another_within_a_second_has_its_event(record: Record) -> None:
    first = after(1, stale_reason="redis", stale_since_ms=T0_MS)
    second = after(20, first, stale_since_ms=T0_MS + 20_500)
    record.take(first)
    record.take(second)
    record.take(after(3, second, stale_reason="", stale_since_ms=0))
    assert events_of(record)[1:] == [("stale", "redis", 1), ("stale", "redis", 1), ("live", "after 3 s", 1)]


def test_a_start_without_a_feed_has_an_event_with_its_duration() -> None:
    record = Record()
    start = replace(FIRST, stale_reason="redis")
    record.take(start)
    record.take(after(3, start, stale_reason=""))
    assert events_of(record) == [("start", "stale: redis", 1), ("live", "after 3 s", 1)]


def test_each_kind_of_counter_has_its_kind_of_event(record: Record) -> None:
    record.take(
        after(
            1,
            load="busy",
            disconnects={"4000 slow client": 2},
            refusals={"origin": 1},
            feed_errors={"bad_json": 7},
            gaps=3,
        )
    )
    assert events_of(record)[1:] == [
        ("load", "busy (was normal)", 1),
        ("disconnect", "4000 slow client", 2),
        ("refusal", "origin", 1),
        ("feed_error", "bad_json", 7),
        ("gap", "closed klines missing", 3),
    ]


def test_a_burst_is_one_event_with_a_count(record: Record) -> None:
    reading = FIRST
    for count in (1, 2, 4):
        reading = after(5, reading, refusals={"origin": count})
        record.take(reading)
    assert events_of(record)[1:] == [("refusal", "origin", 4)]
    event = record.events[-1]
    assert event.to_dict() == {
        "at": T0_MS + 5000,
        "until": T0_MS + 15_000,
        "kind": "refusal",
        "what": "origin",
        "count": 4,
    }


def test_an_event_that_repeats_moves_to_the_end(record: Record) -> None:
    reading = FIRST
    for stale in ("redis", "", "redis"):
        reading = after(2, reading, stale_reason=stale)
        record.take(reading)
    assert events_of(record)[1:] == [("live", "after 2 s", 1), ("stale", "redis", 2)]


def test_a_later_or_different_event_is_a_new_one(record: Record) -> None:
    first = after(20, refusals={"origin": 1})
    other = after(1, first, refusals={"origin": 1, "overload": 1})
    record.take(first)
    record.take(other)
    record.take(after(BURST_MS / 1000 + 2, other, refusals={"origin": 2, "overload": 1}))
    assert events_of(record)[1:] == [("refusal", "origin", 1), ("refusal", "overload", 1), ("refusal", "origin", 1)]
