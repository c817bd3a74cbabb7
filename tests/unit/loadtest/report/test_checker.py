from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.protocol.stamps import volume_of
from loadtest.report.checker import FAULTS, Checker
from loadtest.report.movement_checker import FAULTS as MOVEMENT_FAULTS
from loadtest.report.recording import (
    Closed,
    FaultBegan,
    Forming,
    Impossible,
    Joined,
    Ledger,
    Left,
    Newest,
    Shown,
    Snapshot,
)

if TYPE_CHECKING:
    from loadtest.report.recording import Event, Mode, MovementEvent

MINUTE = 60_000
CHANNEL = "kline:AAUSDT:1m"


def closed(bar: int, volume: float | None = None) -> Closed:
    return Closed(1, CHANNEL, bar * MINUTE, volume_of(bar * MINUTE, MINUTE) if volume is None else volume)


def forming(bar: int) -> Forming:
    return Forming(1, CHANNEL, bar * MINUTE)


def snapshot(*bars: int, forming: int | None = None, mode: Mode = "replace") -> Snapshot:
    held = tuple((bar * MINUTE, float(volume_of(bar * MINUTE, MINUTE))) for bar in bars)
    return Snapshot(1, CHANNEL, mode, held, None if forming is None else forming * MINUTE)


def faults(*events: Event | MovementEvent, published: int | None = None) -> dict[str, int]:
    checker = Checker()
    for event in events:
        checker.check(event)
    if published is not None:
        checker.finish(Ledger({"1m": (MINUTE, published * MINUTE)}))
    assert set(checker.faults) <= {*FAULTS, *MOVEMENT_FAULTS}
    assert len(checker.examples) == sum(checker.faults.values())
    return dict(checker.faults)


@pytest.mark.parametrize(
    "events",
    [
        [snapshot(4, 5, forming=6), closed(6), forming(7), closed(7), closed(8)],
        [snapshot(forming=6), forming(6), closed(6), forming(7)],
        [snapshot(), closed(6), closed(7)],
        [snapshot(5, forming=6), snapshot(6, 7, forming=8, mode="recovered"), closed(8)],
        [snapshot(5, forming=6), snapshot(forming=6, mode="recovered"), closed(6)],
        [snapshot(5, forming=6), snapshot(5, 6, 7, forming=8, mode="resync"), closed(8)],
        [snapshot(5, forming=6), snapshot(3, 4, 5, 6, forming=7), closed(7)],
        [snapshot(5, forming=6), forming(7), snapshot(6, forming=7, mode="resync"), closed(7)],
        [snapshot(5, forming=6), snapshot(mode="resync"), closed(6)],
    ],
    ids=[
        "history",
        "no history",
        "nothing known",
        "resumed",
        "resumed, nothing missed",
        "resync over what is held",
        "subscribed again",
        "closed late, but resynced",
        "resync of nothing",
    ],
)
def test_correct_events_have_no_fault(events: list[Event]) -> None:
    assert faults(*events) == {}


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([snapshot(5, forming=6), closed(6), closed(6)], "duplicate"),
        ([snapshot(5, forming=6), closed(6), closed(7), closed(6)], "duplicate"),
        ([snapshot(5, forming=6), closed(5)], "duplicate"),
        ([snapshot(5, forming=6), forming(7), closed(6)], "late"),
        ([snapshot(5, forming=6), closed(6), forming(6)], "reopened"),
        ([snapshot(4, forming=6), forming(8), forming(7)], "backwards"),
        ([snapshot(5, forming=6), closed(6, volume=0.5)], "wrong_value"),
        ([snapshot(5, forming=6), closed(6, volume=8)], "wrong_value"),
        ([snapshot(3, 5, forming=6)], "unordered_snapshot"),
        ([snapshot(5, 5, forming=6)], "unordered_snapshot"),
        ([snapshot(5, forming=6), snapshot(5, 6, forming=7, mode="recovered")], "duplicate"),
        ([snapshot(5, forming=6), snapshot(8, forming=9, mode="unrecovered")], "declared_hole"),
    ],
)
def test_each_violation_has_its_fault(events: list[Event], fault: str) -> None:
    assert faults(*events) == {fault: 1}


@pytest.mark.parametrize(
    "events",
    [
        [snapshot(5, forming=6), closed(8)],
        [snapshot(forming=6), closed(8)],
        [snapshot(5, forming=6), snapshot(8, forming=9, mode="recovered")],
        [snapshot(5, forming=6), snapshot(8, forming=9, mode="resync")],
        [snapshot(5, forming=6), closed(8), closed(9), forming(10), closed(10)],
    ],
    ids=["in updates", "after no history", "in a resume", "in a resync", "and all is well after"],
)
def test_each_missing_kline_is_a_hole(events: list[Event]) -> None:
    assert faults(*events) == {}
    assert faults(*events, published=5) == {"hole": 2}
    assert faults(*events, Left(1)) == {"hole": 2}
    assert faults(*events, Left(1), Joined(1), published=5) == {"hole": 2}


def test_a_later_snapshot_covers_a_hole() -> None:
    torn: list[Event] = [snapshot(5, forming=6), closed(8), closed(9)]

    assert faults(*torn, snapshot(5, 6, 7, 8, 9, forming=10, mode="resync"), closed(10), published=10) == {}
    assert faults(*torn, snapshot(7, 8, 9, forming=10, mode="resync"), published=9) == {"hole": 1}


def test_memory_of_missing_klines_is_bounded() -> None:
    checker = Checker()
    checker.check(snapshot(5, forming=6))
    checker.check(closed(100_000))
    checker.check(Left(1))

    assert checker.faults == {"hole": 1000}


def test_after_a_declared_hole_the_new_list_counts() -> None:
    assert faults(snapshot(5, forming=6), snapshot(forming=9, mode="unrecovered"), closed(9)) == {"declared_hole": 1}


def test_a_client_without_the_newest_kline_at_the_end_is_a_fault() -> None:
    assert faults(snapshot(5, forming=6), closed(6), published=6) == {}
    assert faults(snapshot(5, forming=6), published=6) == {"missing_at_end": 1}
    assert faults(snapshot(), published=6) == {"missing_at_end": 1}


def test_nothing_is_missing_where_nothing_was_published() -> None:
    assert faults(snapshot(), published=0) == {}
    checker = Checker()
    checker.check(snapshot(5))
    checker.finish(Ledger({"1h": (0, 10**12)}))
    assert not checker.faults


def test_a_client_misses_klines_only_while_connected() -> None:
    assert faults(snapshot(5, forming=6), Left(1), published=6) == {}
    assert faults(snapshot(5, forming=6), Left(1), Joined(1), published=6) == {"missing_at_end": 1}


def test_clients_and_channels_are_checked_separately() -> None:
    other = Closed(2, CHANNEL, 9 * MINUTE, volume_of(9 * MINUTE, MINUTE))
    hourly = Closed(1, "kline:AAUSDT:1h", 0, volume_of(0, 60 * MINUTE))

    assert faults(snapshot(5, forming=6), other, hourly, closed(6)) == {}


def test_every_closed_kline_is_counted_and_examples_are_bounded() -> None:
    checker = Checker()
    for _ in range(50):
        checker.check(closed(6, volume=0.5))

    assert checker.checked == 50
    assert checker.faults["wrong_value"] == 50
    assert len(checker.examples) == 20


def test_klines_after_the_cursor_are_not_lost_by_a_disconnect() -> None:
    # The bar before the forming one has yet to come; a resume asks for it.
    ahead = snapshot(forming=7, mode="recovered")
    assert faults(snapshot(5, forming=6), ahead, published=5) == {"hole": 1}
    assert faults(snapshot(5, forming=6), ahead, Left(1), Joined(1), snapshot(6, 7, forming=8, mode="recovered")) == {}
    # What the cursor has passed over is lost.
    passed = (snapshot(5, forming=6), closed(7))
    assert faults(*passed, Left(1)) == {"hole": 1}


def test_an_old_price_is_shown_as_live_only_within_the_limit() -> None:
    checker = Checker()
    checker.check(Shown(1, "ticker:AAUSDT", 900.0, 1000.0))
    assert not checker.faults
    checker.check(Shown(1, "ticker:AAUSDT", 1001.0, 1000.0))
    assert checker.faults == {"old_as_live": 1}
    assert checker.prices_checked == 2


def test_a_price_that_the_feeder_did_not_make_is_a_fault() -> None:
    assert faults(Impossible(1, "ticker:AAUSDT", 777.0)) == {"impossible_price": 1}


def test_a_price_that_stands_still_is_a_fault() -> None:
    events = [Newest(float(at_s), {"AAUSDT": 1.0}) for at_s in range(12)]
    assert faults(*events) == {"frozen": 1}
    assert not faults(FaultBegan(0, "silence", stops=True), *events)
