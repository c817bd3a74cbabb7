from __future__ import annotations

from gateway.runtime.clock import STEP_MS, SteadyClock
from tests.builders import T0

HOUR_MS = 3_600_000


class Clocks:
    """The system's and the one that only counts, to be moved by hand."""

    def __init__(self) -> None:
        self.set_ms = 0
        self.passed_ms = 7
        self.steady = SteadyClock(lambda: (T0 + self.set_ms + self.passed_ms) * 1_000_000, self.counted_ns)

    def counted_ns(self) -> int:
        return self.passed_ms * 1_000_000


def test_it_goes_on_as_time_passes() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.passed_ms += 1234
    assert clocks.steady() == before + 1234
    assert not clocks.steady.look()


def test_steps_either_way_are_seen_once_and_not_followed() -> None:
    clocks = Clocks()
    before = clocks.steady()
    for step in (HOUR_MS, -HOUR_MS, 0):
        clocks.set_ms = step
        assert clocks.steady.look()
        assert not clocks.steady.look()
        assert clocks.steady.ahead_ms == step
        assert clocks.steady() == before


def test_drift_is_no_step() -> None:
    clocks = Clocks()
    clocks.set_ms = STEP_MS - 1
    assert not clocks.steady.look()
    assert clocks.steady.ahead_ms == 0


def test_a_step_forward_is_taken_over_once_the_source_goes_by_it() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.set_ms = HOUR_MS
    clocks.steady.look()
    clocks.steady.witness(T0 + HOUR_MS, T0 + HOUR_MS + 60_000)
    assert clocks.steady() == before + HOUR_MS
    assert not clocks.steady.look()


def test_a_step_forward_that_the_source_knows_nothing_of_is_kept_out() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.set_ms = HOUR_MS
    clocks.steady.look()
    clocks.steady.witness(T0, T0 + 60_000)
    # A day's bar holds both times: it says nothing.
    clocks.steady.witness(T0 - HOUR_MS, T0 + 20 * HOUR_MS)
    assert clocks.steady() == before


def test_back_it_never_goes() -> None:
    clocks = Clocks()
    before = clocks.steady()
    clocks.set_ms = -HOUR_MS
    clocks.steady.look()
    clocks.steady.witness(T0 - HOUR_MS, T0 - HOUR_MS + 60_000)
    assert clocks.steady() == before


def test_without_being_told_it_goes_by_the_machine() -> None:
    clock = SteadyClock()
    assert clock() > T0
    assert not clock.look()
