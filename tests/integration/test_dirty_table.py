"""The documented table of dirty data, row by row: each kind is sent to a real gateway, and every light is read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.feed.keyspace import CHECK_S
from loadtest.nemesis.faults import FAULTS, change
from loadtest.nemesis.system import SystemUnderTest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.nemesis.setup import FeedMode

pytestmark = [pytest.mark.early, pytest.mark.timeout(90)]

GUARANTEES = Path(__file__).resolve().parents[2] / "docs/guarantees.md"
WATCHED_S = 9.0
"""Longer than each limit of the gateway under test: of what is stale, overdue, or read in another way."""


@dataclass
class Lights:
    """What was seen while the fault lasted."""

    stale: set[str] = field(default_factory=set)
    """Reasons that clients were sent."""
    ready: set[int] = field(default_factory=set)
    data: set[int] = field(default_factory=set)
    said: str = ""
    """All that `/v1/health/data` and `/status.json` gave as reasons."""
    lanes: set[tuple[str, str]] = field(default_factory=set)
    """Lanes that were stale in `/status.json`, with their reasons."""
    errors: set[str] = field(default_factory=set)
    odd: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    """Kinds of names that were refused."""
    log: str = ""

    def look(self, system: SystemUnderTest) -> None:
        gateway = system.gateway
        self.ready.add(gateway.get("/readyz")[0])
        code, body = gateway.get("/v1/health/data")
        self.data.add(code)
        self.said += " ".join(json.loads(body)["reasons"])
        feed = json.loads(gateway.get("/status.json")[1])["feed"]
        self.lanes |= {(name, lane["reason"]) for name, lane in feed["lanes"].items() if not lane["live"]}
        self.errors |= feed["errors"].keys()
        self.odd |= feed["odd"].keys()
        self.refused |= {kind for kind, names in feed["refused_names"].items() if names["messages"]}


REASONS = ("redis", "silent", "malformed", "prices", "klines", "symbol")


def observed(
    folder: Path, fault: str, mode: FeedMode = "auto", settings: dict[str, dict[str, Any]] | None = None
) -> Lights:
    """What the lights show while the fault lasts. Afterwards the gateway is whole again, and nothing is lost."""
    with SystemUnderTest(folder, clients=6, timed=True, feed_mode=mode, settings=settings or {}) as system:
        system.wait(system.all_live, "everybody live")
        before = {reason: system.notices(f"status {reason}") for reason in REASONS}
        change(system, FAULTS[fault], ends=False)
        lights = Lights()
        for _ in range(round(WATCHED_S / 0.25)):
            system.run(0.25)
            lights.look(system)
        change(system, FAULTS[fault], ends=True)
        lights.stale = {reason for reason in REASONS if system.notices(f"status {reason}") > before[reason]}
        lights.log = system.gateway.log()
        # A setting of notifications is looked at every 5 s.
        system.run(CHECK_S + 1 if mode == "keyspace" else 0)
        verdict = system.finish()
        assert verdict.ok, verdict
    assert lights.ready == {200}, "it is about the process"
    return lights


EVERYTHING = {"ticker", "forming", "closed"}


def test_what_is_dated_in_the_future_is_refused_and_correct_data_goes_on(tmp_path: Path) -> None:
    lights = observed(tmp_path, "future times")
    assert (lights.stale, lights.lanes, lights.data) == (set(), set(), {200})
    assert lights.errors == {"future_time"}
    assert "future_time" in lights.log


@pytest.mark.parametrize("unit", [pytest.param(unit, marks=pytest.mark.long) for unit in ("seconds", "microseconds")])
def test_another_unit_of_time_is_recognised_and_counted(tmp_path: Path, unit: str) -> None:
    lights = observed(tmp_path, unit)
    assert (lights.stale, lights.lanes, lights.data) == (set(), set(), {200})
    assert (lights.errors, lights.odd) == (set(), {"time_unit"})


@pytest.mark.long
def test_prices_that_cannot_be_move_nothing(tmp_path: Path) -> None:
    lights = observed(tmp_path, "impossible prices")
    assert (lights.stale, lights.lanes, lights.data) == (set(), set(), {200})
    assert lights.errors == {"not_positive", "negative", "not_a_number"}


@pytest.mark.long
def test_garbage_makes_everything_stale(tmp_path: Path) -> None:
    lights = observed(tmp_path, "garbage", "pubsub")
    assert lights.stale == {"malformed"}
    assert lights.lanes == {(lane, "malformed") for lane in EVERYTHING}
    assert lights.data == {200, 503}
    assert re.search(r"malformed: ([\d,]+) of \1 messages refused: bad_json, for example S\d+USDT", lights.said)
    assert "feed stale: malformed: " in lights.log


@pytest.mark.long
def test_where_the_feed_mode_is_detected_keys_are_read_in_the_place_of_garbage(tmp_path: Path) -> None:
    lights = observed(tmp_path, "garbage", "auto")
    assert "malformed" in lights.stale
    assert "feed: switched from pubsub to poll" in lights.log
    assert lights.log.rindex("feed live") > lights.log.index("switched from pubsub to poll")


@pytest.mark.long
def test_prices_that_stop_leave_closed_klines_live(tmp_path: Path) -> None:
    lights = observed(tmp_path, "prices stop")
    assert lights.stale == {"prices"}
    assert lights.lanes == {("ticker", "prices"), ("forming", "prices")}
    assert lights.data == {200, 503}
    assert "feed: prices" in lights.said


@pytest.mark.long
def test_klines_that_stop_leave_tickers_live(tmp_path: Path) -> None:
    lights = observed(tmp_path, "klines stop")
    assert lights.stale == {"klines"}
    assert lights.lanes == {("closed", "klines")}
    assert lights.data == {200, 503}
    assert "feed: klines" in lights.said


@pytest.mark.long
def test_a_server_that_moved_is_followed_by_a_new_connection(tmp_path: Path) -> None:
    lights = observed(tmp_path, "move redis")
    assert lights.stale == {"silent"}
    assert {(lane, "silent") for lane in EVERYTHING} <= lights.lanes
    assert lights.data == {200, 503}
    assert "the silent connection has been replaced" in lights.log


@pytest.mark.long
def test_foreign_notifications_do_not_matter_to_pubsub(tmp_path: Path) -> None:
    lights = observed(tmp_path, "foreign notifications", "pubsub")
    assert (lights.stale, lights.lanes, lights.data, lights.errors) == (set(), set(), {200}, set())


@pytest.mark.long
def test_in_keyspace_mode_the_gateway_sets_its_notifications_again_where_it_may(tmp_path: Path) -> None:
    lights = observed(tmp_path, "foreign notifications", "keyspace")
    assert (lights.stale, lights.data) == (set(), {200})
    assert "notify-keyspace-events set to g$Kz" in lights.log


@pytest.mark.long
def test_names_that_the_settings_do_not_admit_are_listed(tmp_path: Path) -> None:
    lights = observed(tmp_path, "foreign channels")
    assert (lights.stale, lights.lanes, lights.data) == (set(), set(), {200})
    assert lights.refused == {"symbol", "interval"}
    assert 'examples="ticker:s' in lights.log


def table() -> Iterator[list[str]]:
    """The cells of the table's rows."""
    text = GUARANTEES.read_text(encoding="utf-8")
    lines = text[text.index("| the collector or Redis |") :].splitlines()
    for line in lines[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_every_fault_of_the_table_is_one_of_the_nemesis() -> None:
    named = {name for cells in table() for name in re.findall(r"`([a-z ]+)`", cells[0])}
    assert named == {
        *("future times", "seconds", "microseconds", "impossible prices", "garbage", "prices stop", "klines stop"),
        *("move redis", "foreign notifications", "foreign channels"),
    }
    assert named <= FAULTS.keys()
