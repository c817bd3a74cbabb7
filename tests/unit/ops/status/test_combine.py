"""Several workers as one: what is added up, where the worst counts, and that each thing says whose it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.ops.status.combine import SLOWEST, of_all, stalest, traces
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
    "load": {"level": "normal", "surging": False},
    "clients": {
        "now": 5,
        "slowed": 1,
        "tiers": [{"interval_ms": 60, "clients": 4, "behind": 1}, {"interval_ms": 120, "clients": 1, "behind": 0}],
        "slowest": [],
    },
    "gaps": {"open": 0, "last": []},
    "disconnects": [],
    "events": [],
    "samples": {"writes_per_s": [10, 20], "bytes_per_s": [100, 200], "busy": [0.1, 0.2], "messages_per_s": [7, 8]},
}


def worker(**changes: Any) -> dict[str, Any]:
    """One that is well, but for some of it: `feed={"live": False}` changes one thing of the feed."""
    made = copy.deepcopy(WORKER)
    for name, change in changes.items():
        made[name] = made[name] | change if isinstance(change, dict) else change
    return made


def test_the_worst_decides_and_each_reason_has_its_worker() -> None:
    told = of_all({1: worker(), 2: worker(level=STALE, why=["no link to Redis"])}, 2)
    assert (told["level"], told["headline"]) == (STALE, HEADLINES[STALE])
    assert told["why"] == ["worker 2: no link to Redis"]
    assert [(entry["worker"], entry["level"]) for entry in told["workers"]] == [(1, FRESH), (2, STALE)]


def test_a_worker_that_does_not_answer_is_missed() -> None:
    told = of_all({2: worker()}, 3)
    assert (told["level"], told["why"]) == (DEGRADED, ["2 of 3 workers do not answer"])
    assert (told["workers_wanted"], len(told["workers"])) == (3, 1)


def test_each_worker_says_what_it_does_now() -> None:
    first, fresh = of_all({1: worker(), 2: worker(samples={"writes_per_s": []})}, 2)["workers"]
    assert (first["clients"], first["writes_per_s"], first["bytes_per_s"], first["busy"]) == (5, 20, 200, 0.2)
    assert fresh["writes_per_s"] is None


def test_the_numbers_of_one_are_shown_where_it_is_chosen() -> None:
    told = of_all({1: worker(timestamp=1), 2: worker(timestamp=2)}, 2, "2")
    assert (told["worker"], told["timestamp"], told["process"]["pid"]) == (2, 2, 7)


@pytest.mark.parametrize("chosen", ["", "3", "x", "9" * 5000])
def test_without_one_that_answers_they_are_those_of_all(chosen: str) -> None:
    told = of_all({1: worker(process={"started": 50}), 2: worker(timestamp=2000)}, 2, chosen)
    assert "worker" not in told
    assert (told["timestamp"], told["process"]) == (2000, {"version": "1", "pid": None, "started": 50})


def test_clients_and_tiers_are_added_up() -> None:
    told = of_all({1: worker(), 2: worker()}, 2)["clients"]
    assert (told["now"], told["slowed"]) == (10, 2)
    assert told["tiers"] == [
        {"interval_ms": 60, "clients": 8, "behind": 2},
        {"interval_ms": 120, "clients": 2, "behind": 0},
    ]


def test_the_slowest_of_all_are_named_with_their_worker() -> None:
    def slow(*stalled_ms: int) -> dict[str, Any]:
        return {"slowest": [{"id": 1, "stalled_ms": ms, "slower_by": 0} for ms in stalled_ms]}

    told = of_all({1: worker(clients=slow(9, 1)), 2: worker(clients=slow(*range(2, 2 + SLOWEST)))}, 2)
    slowest = told["clients"]["slowest"]
    assert len(slowest) == SLOWEST
    assert [(client["worker"], client["stalled_ms"]) for client in slowest[:3]] == [(2, 11), (2, 10), (1, 9)]


def test_goodbyes_are_counted_by_code_the_most_frequent_first() -> None:
    def close(code: int, count: int) -> dict[str, Any]:
        return {"code": code, "reason": "why", "count": count}

    told = of_all({1: worker(disconnects=[close(4000, 2), close(4001, 3)]), 2: worker(disconnects=[close(4000, 4)])}, 2)
    assert told["disconnects"] == [close(4000, 6), close(4001, 3)]


def test_what_happened_anywhere_comes_by_time() -> None:
    def events(*until: int) -> list[dict[str, Any]]:
        return [{"until": at, "kind": "load"} for at in until]

    told = of_all({1: worker(events=events(30, 10)), 2: worker(events=events(20) * EVENTS)}, 2)["events"]
    assert [(event["until"], event["worker"]) for event in told[:2]] == [(30, 1), (20, 2)]
    assert len(told) == EVENTS


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
def test_of_what_each_has_whole_the_worst_is_shown(worse: dict[str, Any], shown: tuple[str, str, Any]) -> None:
    part, name, value = shown
    for told in ({1: worker(), 2: worker(**worse)}, {1: worker(**worse), 2: worker()}):
        assert of_all(told, 2)[part][name] == value


def test_lost_links_are_added_up_and_a_feed_that_never_spoke_is_no_older_than_others() -> None:
    told = of_all({1: worker(feed={"age_ms": None}), 2: worker()}, 2)["feed"]
    assert (told["reconnects"], told["age_ms"]) == (2, 10)


def test_samples_are_laid_over_each_other_from_the_newest_on() -> None:
    """What goes out is added up; everybody reads the whole feed, and of shares of a core the highest counts."""
    younger = {"writes_per_s": [5], "bytes_per_s": [None], "busy": [0.9], "messages_per_s": [9]}
    told = of_all({1: worker(), 2: worker(samples=younger)}, 2)["samples"]
    assert told["writes_per_s"] == [10, 25]
    assert told["bytes_per_s"] == [100, 200]
    assert told["busy"] == [0.1, 0.9]
    assert told["messages_per_s"] == [7, 9]
    nothing = of_all({1: worker(samples={"busy": [None]})}, 1)["samples"]
    assert nothing["busy"] == [None]


def test_traced_updates_of_all_come_by_the_time_they_were_read() -> None:
    found = traces({1: {"updates": [{"read": 3}, {"read": 5}]}, 2: {"updates": [{"read": 4}]}})
    assert [(update["worker"], update["read"]) for update in found] == [(1, 3), (2, 4), (1, 5)]


def test_freshness_is_told_by_who_is_not_ready_else_by_who_misses_most() -> None:
    ready, quieter, stale = {"ready": True, "quiet": 0}, {"ready": True, "quiet": 5}, {"ready": False, "quiet": 0}
    assert stalest({1: ready, 2: quieter}) == 2
    assert stalest({1: stale, 2: quieter}) == 1
