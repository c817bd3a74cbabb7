"""Closed klines that wait to be stored: several at once, none too late, none lost."""

from __future__ import annotations

from collector.events import Correction, KlineEvent
from collector.unstored import Unstored
from tests.unit.collector.builders import closed

A1, A2, A3, B1 = closed(1), closed(2), closed(3), closed(1, "CDUSDT")


def test_by_default_nothing_waits() -> None:
    sut = Unstored()
    sut.add([A1, A2, B1], 0.0)
    assert sut.take(0.0) == [[A1, A2], [B1]]
    assert not len(sut)


def test_a_series_is_due_once_so_many_klines_wait() -> None:
    sut = Unstored(3, 1000.0)
    sut.add([A1, A2, B1], 0.0)
    assert sut.take(0.0) == []
    sut.add([A3], 1.0)
    assert sut.take(1.0) == [[A1, A2, A3]]
    assert list(sut) == [B1]


def test_a_series_is_due_once_its_first_kline_has_waited_so_long() -> None:
    sut = Unstored(3, 1000.0)
    sut.add([A1], 0.0)
    sut.add([A2], 999.0)
    sut.add([B1], 500.0)
    assert sut.take(999.9) == []
    assert sut.take(1000.0) == [[A1, A2]]


def test_all_can_be_taken_at_any_time() -> None:
    sut = Unstored(3, 1000.0)
    sut.add([A1, B1], 0.0)
    assert sut.take(0.0, everything=True) == [[A1], [B1]]
    assert sut.take(2000.0) == []


def test_klines_leave_in_the_order_of_time_and_with_their_newest_values() -> None:
    corrected = closed(1, price="3")
    sut = Unstored(3, 1000.0)
    sut.add([A3, A1, A2], 0.0)
    sut.add([corrected], 1.0)
    assert sut.take(1.0) == [[corrected, A2, A3]]


def test_what_was_not_stored_comes_back_unless_newer_values_have_come() -> None:
    corrected = closed(1, price="3")
    sut = Unstored()
    sut.add([A1, A2, B1], 0.0)
    taken = sut.take(0.0)
    sut.add([corrected], 1.0)
    sut.give_back(taken, 1.0)
    assert sut.take(1.0) == [[corrected, A2], [B1]]


def test_what_turns_out_to_be_stored_is_dropped() -> None:
    sut = Unstored(3, 1000.0)
    sut.add([A1, A2, B1], 0.0)
    sut.keep(lambda event: event == A2)
    assert sut.take(1000.0) == [[A2]]
    sut.add([B1], 2000.0)
    assert sut.take(2999.0) == []


def test_a_correction_of_what_is_not_stored_yet_is_no_correction_any_more() -> None:
    sut = Unstored(3, 1000.0)
    sut.add([A1], 0.0)
    sut.add([Correction(*closed(1, price="3")), Correction(*closed(2, price="4"))], 1.0)
    assert [type(event) for event in sut] == [KlineEvent, Correction]
    assert [event.kline.close for event in sut] == ["3", "4"]
