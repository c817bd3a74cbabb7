from __future__ import annotations

import pytest

from loadtest.feeder.rate_schedule import RateSchedule

MS = 1_000_000


def test_turns_fall_due_at_the_rate() -> None:
    schedule = RateSchedule(0, rate=100)

    assert [schedule.take(at * MS, most=99) for at in (0, 9, 10, 11, 45)] == [0, 0, 1, 0, 3]


def test_turns_beyond_the_maximum_stay_due() -> None:
    schedule = RateSchedule(0, rate=100)

    assert schedule.take(100 * MS, most=4) == 4
    assert schedule.take(100 * MS, most=99) == 6


def test_turns_missed_in_a_stall_are_given_up() -> None:
    schedule = RateSchedule(0, rate=1000)

    assert schedule.take(2_000 * MS, most=9999) == 250
    assert schedule.given_up == 1750
    assert schedule.asked == 2000
    assert schedule.take(2_001 * MS, most=9999) == 1


def test_lateness_is_that_of_the_oldest_turn() -> None:
    schedule = RateSchedule(0, rate=100)
    schedule.take(30 * MS, most=9)

    assert schedule.worst_late_ns == 20 * MS


def test_a_slow_rate_gives_up_no_turn_that_is_merely_due() -> None:
    schedule = RateSchedule(0, rate=1)

    assert schedule.take(1_000 * MS, most=9) == 1
    assert schedule.given_up == 0


def test_without_a_rate_nothing_is_due() -> None:
    schedule = RateSchedule(0, rate=0)

    assert schedule.take(5_000 * MS, most=9) == 0
    assert schedule.wait_s(5_000 * MS) == float("inf")


def test_the_wait_ends_when_the_next_turn_is_due() -> None:
    schedule = RateSchedule(0, rate=100)
    schedule.take(10 * MS, most=9)

    assert schedule.wait_s(13 * MS) == pytest.approx(0.007)
    assert schedule.wait_s(40 * MS) == 0.0


def test_a_new_rate_counts_from_when_it_is_set() -> None:
    schedule = RateSchedule(0, rate=1000)
    schedule.set_rate(500 * MS, rate=10)

    assert schedule.take(599 * MS, most=99) == 0
    assert schedule.take(600 * MS, most=99) == 1
