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


def test_a_step_forward_is_adopted_when_that_is_asked_for() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.set_ms = HOUR_MS
    clocks.steady.check()
    assert clocks.steady.adopt() == HOUR_MS
    assert clocks.steady() == before + HOUR_MS
    assert not clocks.steady.check()
    assert clocks.steady.adopt() == 0


def test_a_step_back_is_never_adopted() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.set_ms = -HOUR_MS
    clocks.steady.check()
    assert clocks.steady.adopt() == 0
    assert clocks.steady() == before


def test_without_arguments_it_starts_at_the_system_time() -> None:
    clock = SteadyClock()
    assert clock() > T0
    assert not clock.check()
