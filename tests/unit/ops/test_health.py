"""Readiness is about the process, freshness about the data: neither follows from the other."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.delivery.feed_times import FeedTimes
from gateway.delivery.refusals import Refusals
from gateway.delivery.staleness import FeedState, Staleness, StaleReason
from gateway.ops.health import FLUSH_LATE_S, STARTING, Health
from gateway.ops.refused import RefusedNames

LIVE = FeedState()
SILENT = FeedState(StaleReason.SILENT, 5)


def health(
    state: FeedState = LIVE,
    *,
    read: bool = True,
    started: bool = True,
    ending: bool = False,
    flush_age_s: float = 0.0,
    problem: str = "",
) -> Health:
    source = SimpleNamespace(name="redis")
    feed_state = SimpleNamespace(current=state, last_message_s=0.0, times=FeedTimes(15.0, 2.0))
    parts: dict[str, Any] = dict.fromkeys(Health.__dataclass_fields__)
    return Health(
        **parts
        | {
            "market": SimpleNamespace(read=read),
            "ingest": SimpleNamespace(feed_state=feed_state, refusals=Refusals()),
            "flusher": SimpleNamespace(flushed_s=time.monotonic() - flush_age_s),
            "sources": SimpleNamespace(active=source, health=dict),
            "feeds": {"redis": SimpleNamespace(mode="poll", problem=problem)},
            "refused": RefusedNames(["redis"]),
            "server": lambda: SimpleNamespace(started=started, should_exit=ending),
        }
    )


@pytest.mark.parametrize(
    ("given", "reasons"),
    [
        ({}, []),
        ({"state": SILENT}, []),
        ({"read": False}, [STARTING]),
        ({"started": False}, [STARTING]),
        ({"ending": True}, ["ending"]),
        ({"flush_age_s": FLUSH_LATE_S + 1}, ["flush: late"]),
    ],
    ids=["well", "stale", "reading", "starting", "ending", "late"],
)
def test_a_process_is_unready_for_its_own_sake_only(given: dict[str, Any], reasons: list[str]) -> None:
    assert health(**given).not_ready_reasons() == reasons


def test_stale_data_names_each_reason_once_and_problems_of_the_feed() -> None:
    assert health().stale_reasons() == []
    assert health(SILENT).stale_reasons() == ["feed: silent"]
    both = FeedState(StaleReason.PRICES, 5, closed=Staleness(StaleReason.KLINES, 6))
    process = health(both, problem="no notifications")
    assert process.stale_reasons() == ["feed: prices", "feed: klines", "feed: no notifications"]
    assert process.details() == {"feed": "poll", "sources": {}, "data": process.stale_reasons()}
    process.ingest.feed_state.times.kline_closed(time.monotonic(), 60.0, 1)
    assert process.stale_reasons() == ["feed: prices", "feed: klines"], "between two closes silence is no problem"
    closed = {"live": False, "reason": "klines", "since": 6}
    assert process.data_details()["lanes"]["closed"] == closed  # type: ignore[index]


def test_what_was_refused_is_part_of_the_reason() -> None:
    process = health(FeedState(StaleReason.MALFORMED, 5))
    process.ingest.refusals.refused("BTCUSDT", "", b"{", "bad_json")
    (reason,) = process.stale_reasons()
    assert reason == "feed: malformed: 1 of 1 messages refused: bad_json, for example BTCUSDT ticker: {"
