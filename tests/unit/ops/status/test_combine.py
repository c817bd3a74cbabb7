"""Combining workers: what is added up, where the worst counts, and which worker each entry names."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.ops.status.combine import SLOWEST, combine_status, combine_traces, stalest
from gateway.ops.status.record import EVENTS
from gateway.ops.status.verdict import DEGRADED, FRESH, HEADLINES, STALE

WORKER: dict[str, Any] = {
    "timestamp": 1000,
    "level": FRESH,
    "headline": HEADLINES[FRESH],
    "why": [],
    "process": {"version": "1", "pid": 7, "started": 100},
    "feed": {"live": True, "reason": "", "age_ms": 10, "reconnects": 1},
    "symbols": {"known": 3, "quiet": 0},
    "load": {"level": "normal", "because": "", "effects": [], "shares": {}, "surging": False},
    "clients": {
        "now": 5,
        "slowed": 1,
        "flush_interval_ms": 5.0,
        "fast": {"wanted": 2, "served": 1},
        "tiers": [
            {"name": "default", "interval_ms": 60, "clients": 4, "behind": 1},
            {"name": "8/s", "interval_ms": 125, "clients": 1, "behind": 0},
        ],
        "slowest": [],
    },
    "gaps": {"open": 0, "last": []},
    "archive": {},
    "replays": {"sessions": 0, "started": 0, "waits": {}},
    "disconnects": [],
    "events": [],
    "samples": {"writes_per_s": [10, 20], "bytes_per_s": [100, 200], "busy": [0.1, 0.2], "messages_per_s": [7, 8]},
}


def worker(**changes: Any) -> dict[str, Any]:
    """A healthy worker with changes: `feed={"live": False}` changes one key of the feed."""
    made = copy.deepcopy(WORKER)
    for name, change in changes.items():
        made[name] = made[name] | change if isinstance(change, dict) else change
    return made


def test_the_worst_level_counts_and_each_reason_names_its_worker() -> None:
    combined = combine_status({1: worker(), 2: worker(level=STALE, why=["not connected to Redis"])}, 2)
    assert (combined["level"], combined["headline"]) == (STALE, HEADLINES[STALE])
    assert combined["why"] == ["worker 2: not connected to Redis"]
    assert [(entry["worker"], entry["level"]) for entry in combined["workers"]] == [(1, FRESH), (2, STALE)]


def test_a_worker_that_does_not_answer_degrades_the_group() -> None:
    combined = combine_status({2: worker()}, 3)
    assert (combined["level"], combined["why"]) == (DEGRADED, ["2 of 3 workers do not answer"])
    assert (combined["workers_wanted"], len(combined["workers"])) == (3, 1)


def test_each_worker_is_listed_with_its_newest_samples() -> None:
    first, fresh = combine_status({1: worker(), 2: worker(samples={"writes_per_s": []})}, 2)["workers"]
    assert (first["clients"], first["writes_per_s"], first["bytes_per_s"], first["busy"]) == (5, 20, 200, 0.2)
    assert fresh["writes_per_s"] is None


def test_a_chosen_worker_shows_its_own_numbers() -> None:
    combined = combine_status({1: worker(timestamp=1), 2: worker(timestamp=2)}, 2, "2")
    assert (combined["worker"], combined["timestamp"], combined["process"]["pid"]) == (2, 2, 7)


@pytest.mark.parametrize("chosen", ["", "3", "x", "9" * 5000])
def test_without_a_valid_choice_the_numbers_are_those_of_all(chosen: str) -> None:
    combined = combine_status({1: worker(process={"started": 50}), 2: worker(timestamp=2000)}, 2, chosen)
    assert "worker" not in combined
    assert (combined["timestamp"], combined["process"]) == (2000, {"version": "1", "pid": None, "started": 50})


def test_clients_and_tiers_are_added_up() -> None:
    combined = combine_status({1: worker(), 2: worker(clients={"flush_interval_ms": 7.5})}, 2)["clients"]
    assert (combined["now"], combined["slowed"]) == (10, 2)
    assert (combined["flush_interval_ms"], combined["fast"]) == (7.5, {"wanted": 4, "served": 2})
    assert combined["tiers"] == [
        {"name": "default", "interval_ms": 60, "clients": 8, "behind": 2},
        {"name": "8/s", "interval_ms": 125, "clients": 2, "behind": 0},
    ]


def test_the_slowest_of_all_are_named_with_their_worker() -> None:
    def slow(*stalled_ms: int) -> dict[str, Any]:
        return {"slowest": [{"id": 1, "stalled_ms": ms, "slower_by": 0} for ms in stalled_ms]}

    combined = combine_status({1: worker(clients=slow(9, 1)), 2: worker(clients=slow(*range(2, 2 + SLOWEST)))}, 2)
    slowest = combined["clients"]["slowest"]
    assert len(slowest) == SLOWEST
    assert [(client["worker"], client["stalled_ms"]) for client in slowest[:3]] == [(2, 11), (2, 10), (1, 9)]


def test_disconnects_are_summed_by_code_the_most_frequent_first() -> None:
    def close(code: int, count: int) -> dict[str, Any]:
        return {"code": code, "reason": "why", "count": count}

    combined = combine_status(
        {1: worker(disconnects=[close(4000, 2), close(4001, 3)]), 2: worker(disconnects=[close(4000, 4)])}, 2
    )
    assert combined["disconnects"] == [close(4000, 6), close(4001, 3)]


def test_events_of_all_workers_are_ordered_by_time() -> None:
    def events(*until: int) -> list[dict[str, Any]]:
        return [{"until": at, "kind": "load"} for at in until]

    combined = combine_status({1: worker(events=events(30, 10)), 2: worker(events=events(20) * EVENTS)}, 2)["events"]
    assert [(event["until"], event["worker"]) for event in combined[:2]] == [(30, 1), (20, 2)]
    assert len(combined) == EVENTS


@pytest.mark.parametrize(
    ("worse", "shown"),
    [
        ({"feed": {"live": False, "reason": "redis"}}, ("feed", "reason", "redis")),
        ({"feed": {"age_ms": 11}}, ("feed", "age_ms", 11)),
        ({"symbols": {"quiet": 2}}, ("symbols", "quiet", 2)),
        ({"gaps": {"open": 4}}, ("gaps", "open", 4)),
        ({"load": {"level": "surge"}}, ("load", "level", "surge")),
        ({"load": {"surging": True}}, ("load", "surging", True)),
    ],
)
def test_of_what_each_worker_sees_in_full_the_worst_is_shown(
    worse: dict[str, Any], shown: tuple[str, str, Any]
) -> None:
    part, name, value = shown
    for combined in ({1: worker(), 2: worker(**worse)}, {1: worker(**worse), 2: worker()}):
        assert combine_status(combined, 2)[part][name] == value


def test_reconnects_are_summed_and_a_feed_without_messages_has_no_age() -> None:
    combined = combine_status({1: worker(feed={"age_ms": None}), 2: worker()}, 2)["feed"]
    assert (combined["reconnects"], combined["age_ms"]) == (2, 10)


def test_samples_are_aligned_at_the_newest() -> None:
    """Output is added up; of input and of shares of a core the highest counts."""
    younger = {"writes_per_s": [5], "bytes_per_s": [None], "busy": [0.9], "messages_per_s": [9]}
    combined = combine_status({1: worker(), 2: worker(samples=younger)}, 2)["samples"]
    assert combined["writes_per_s"] == [10, 25]
    assert combined["bytes_per_s"] == [100, 200]
    assert combined["busy"] == [0.1, 0.9]
    assert combined["messages_per_s"] == [7, 9]
    nothing = combine_status({1: worker(samples={"busy": [None]})}, 1)["samples"]
    assert nothing["busy"] == [None]


def test_traced_updates_of_all_are_ordered_by_when_they_were_read() -> None:
    found = combine_traces({1: {"updates": [{"read": 3}, {"read": 5}]}, 2: {"updates": [{"read": 4}]}})
    assert [(update["worker"], update["read"]) for update in found] == [(1, 3), (2, 4), (1, 5)]


def test_the_stalest_worker_has_reasons_or_has_most_stale_symbols() -> None:
    ready, quieter = {"reasons": [], "quiet": 0}, {"reasons": [], "quiet": 5}
    stale = {"reasons": ["feed: silent"], "quiet": 0}
    assert stalest({1: ready, 2: quieter}) == 2
    assert stalest({1: stale, 2: quieter}) == 1


def test_the_archive_is_that_of_the_worker_that_writes_it() -> None:
    other, writer = {"leads": False, "written": 0}, {"leads": True, "written": 7}
    assert combine_status({1: worker(archive=other), 2: worker(archive=writer)}, 2)["archive"] == writer
    assert combine_status({1: worker(archive=other)}, 1)["archive"] == other
    assert combine_status({1: worker(archive=None), 2: worker()}, 2)["archive"] is None


def test_replays_are_added_up() -> None:
    one = worker(replays={"sessions": 2, "started": 5, "waits": {"reader": 3}})
    other = worker(replays={"sessions": 1, "started": 1, "waits": {"reader": 1, "store": 2}})
    assert combine_status({1: one, 2: other}, 2)["replays"] == {
        "sessions": 3,
        "started": 6,
        "waits": {"reader": 4, "store": 2},
    }
