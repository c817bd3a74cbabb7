from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.report.movement_checker import FAULTS, GRACE_S, STILL_S, MovementChecker
from loadtest.report.recording import FaultBegan, FaultEnded, Newest

if TYPE_CHECKING:
    from loadtest.report.recording import MovementEvent


def still(begin_s: int, end_s: int, price: float = 1.0) -> list[MovementEvent]:
    """A price that is the same each second."""
    return [Newest(at_s, {"AAUSDT": price}) for at_s in range(begin_s, end_s)]


def found(*events: MovementEvent) -> list[str]:
    reports: list[tuple[str, str]] = []
    checker = MovementChecker(lambda name, example: reports.append((name, example)))
    for event in events:
        checker.check(event)
    assert {name for name, _ in reports} <= set(FAULTS)
    assert checker.checked == sum(len(event.prices) for event in events if isinstance(event, Newest))
    return [example for _, example in reports]


LONG = int(STILL_S) + 1


def test_a_price_that_moves_is_well() -> None:
    assert not found(*(Newest(at_s, {"AAUSDT": float(at_s)}) for at_s in range(60)))


def test_a_price_that_stands_still_is_reported_once_for_each_time() -> None:
    assert found(*still(0, LONG)) == []
    assert found(*still(0, LONG + 2)) == [f"AAUSDT stands at 1.0 at {LONG}.0 s, before any fault was over"]
    assert len(found(*still(0, 2 * LONG + 2))) == 2


def test_a_symbol_that_stands_still_among_others_that_move_is_reported() -> None:
    events = [Newest(at_s, {"AAUSDT": 1.0, "ABUSDT": float(at_s)}) for at_s in range(LONG + 2)]
    assert len(found(*events)) == 1


def test_nothing_need_move_while_a_fault_stops_prices() -> None:
    assert not found(FaultBegan(0, "silence", stops=True), *still(1, 60))


def test_after_the_fault_prices_must_move_again() -> None:
    end = 30 + LONG + int(GRACE_S) + 2
    events: list[MovementEvent] = [FaultBegan(0, "silence", stops=True), *still(1, 30), FaultEnded(30, "silence")]
    assert not found(*events, *still(30, 30 + LONG))
    assert len(found(*events, *still(30, end))) == 1
    assert found(*events, *still(30, end))[0].endswith("after: silence")


def test_calm_time_adds_up_between_faults_and_other_faults_do_not_count() -> None:
    events: list[MovementEvent] = []
    for begin_s in range(0, 60, 10):
        events += [FaultBegan(begin_s, "dark line", stops=True), FaultEnded(begin_s + 1, "dark line")]
        events += still(begin_s + 1, begin_s + 10)
    assert len(found(*events)) > 1
    assert len(found(FaultBegan(0, "future times", stops=False), *still(0, LONG + 2))) == 1


def test_two_faults_that_stop_prices_are_both_waited_for() -> None:
    events: list[MovementEvent] = [
        FaultBegan(0, "silence", stops=True),
        FaultBegan(1, "dark line", stops=True),
        FaultEnded(2, "silence"),
    ]
    assert not found(*events, FaultEnded(3, "foreign channels"), *still(3, 60))
