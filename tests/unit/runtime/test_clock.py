"""Market time against a system clock that is set by hand."""

from __future__ import annotations

from gateway.runtime.clock import STEP_MS, SteadyClock
from tests.builders import T0

HOUR_MS = 3_600_000


class Clocks:
    """A system clock and an uptime, both moved by hand, and the clock under test."""

    def __init__(self) -> None:
        self.set_ms = 0
        self.passed_ms = 7
        self.steady = SteadyClock(lambda: (T0 + self.set_ms + self.passed_ms) * 1_000_000, self.uptime_ns)

    def uptime_ns(self) -> int:
        return self.passed_ms * 1_000_000


def test_clock_goes_on_as_time_passes() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.passed_ms += 1234
    assert clocks.steady() == before + 1234
    assert not clocks.steady.check()


def test_steps_either_way_are_reported_once_and_not_followed() -> None:
    clocks = Clocks()
    before = clocks.steady()
    for step in (HOUR_MS, -HOUR_MS, 0):
        clocks.set_ms = step
        assert clocks.steady.check()
        assert not clocks.steady.check()
        assert clocks.steady.ahead_ms == step
        assert clocks.steady() == before


def test_drift_is_no_step() -> None:
    clocks = Clocks()
    clocks.set_ms = STEP_MS - 1
    assert not clocks.steady.check()
    assert clocks.steady.ahead_ms == 0


def test_step_forward_is_adopted_once_a_kline_confirms_it() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.set_ms = HOUR_MS
    clocks.steady.check()
    assert clocks.steady.observe_kline(T0 + HOUR_MS, T0 + HOUR_MS + 60_000) == HOUR_MS
    assert clocks.steady() == before + HOUR_MS
    assert not clocks.steady.check()


def test_step_forward_that_no_kline_confirms_is_ignored() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.set_ms = HOUR_MS
    clocks.steady.check()
    clocks.steady.observe_kline(T0, T0 + 60_000)
    # The window of a day's kline holds both times, so it confirms neither.
    clocks.steady.observe_kline(T0 - HOUR_MS, T0 + 20 * HOUR_MS)
    assert clocks.steady() == before


def test_of_two_wrong_times_the_nearer_one_is_not_adopted_while_the_feed_says_the_right_one() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.set_ms = 2 * HOUR_MS
    clocks.steady.check()
    # This clock started an hour late, and the system's is an hour ahead.
    kline = T0 + HOUR_MS + 10_000, T0 + HOUR_MS + 70_000
    assert clocks.steady.observe_kline(*kline, feed_ahead_ms=HOUR_MS + 15_000) == 0
    assert clocks.steady() == before


def test_the_systems_time_is_adopted_where_the_feed_says_the_same() -> None:
    clocks = Clocks()
    clocks.set_ms = HOUR_MS
    clocks.steady.check()
    assert clocks.steady.observe_kline(T0 + HOUR_MS, T0 + HOUR_MS + 60_000, feed_ahead_ms=HOUR_MS) == HOUR_MS


def test_step_back_is_never_adopted() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.set_ms = -HOUR_MS
    clocks.steady.check()
    clocks.steady.observe_kline(T0 - HOUR_MS, T0 - HOUR_MS + 60_000)
    assert clocks.steady() == before


def test_without_arguments_it_starts_at_the_system_time() -> None:
    clock = SteadyClock()
    assert clock() > T0
    assert not clock.check()
