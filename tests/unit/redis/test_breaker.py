"""Open after five failures in thirty seconds; then one probe at a time, each after a longer wait."""

from __future__ import annotations

from gateway.redis.breaker import Breaker


def opened(at_s: float = 0.0) -> Breaker:
    breaker = Breaker((1.0, 2.0, 4.0))
    for _ in range(5):
        assert breaker.allows(at_s)
        breaker.failed(at_s)
    return breaker


def test_four_failures_leave_it_closed() -> None:
    breaker = Breaker((1.0,))
    for _ in range(4):
        breaker.failed(0.0)
    assert breaker.closed
    assert breaker.allows(0.0)
    assert breaker.retry_after_s(0.0) == 0.0


def test_five_failures_within_the_window_open_it() -> None:
    breaker = opened()
    assert not breaker.closed
    assert not breaker.allows(0.9)
    assert breaker.retry_after_s(0.25) == 0.75


def test_failures_further_apart_than_the_window_do_not_open_it() -> None:
    breaker = Breaker((1.0,))
    for at_s in (0.0, 10.0, 20.0, 30.0, 30.5, 40.5):
        breaker.failed(at_s)
        assert breaker.closed
    breaker.failed(41.0)
    assert not breaker.closed


def test_after_the_wait_exactly_one_probe_goes_out() -> None:
    breaker = opened()
    assert breaker.allows(1.0)
    assert not breaker.allows(1.0)
    assert breaker.retry_after_s(1.5) == 0.0


def test_a_good_probe_closes_it_and_forgets_the_failures() -> None:
    breaker = opened()
    assert breaker.allows(1.0)
    breaker.succeeded()
    assert breaker.closed
    breaker.failed(1.1)
    assert breaker.closed


def test_failed_probes_make_the_waits_longer_and_the_last_wait_repeats() -> None:
    breaker = opened()
    at_s = 0.0
    for wait_s in (1.0, 2.0, 4.0, 4.0):
        assert not breaker.allows(at_s + wait_s - 0.01)
        at_s += wait_s
        assert breaker.allows(at_s)
        breaker.failed(at_s)


def test_an_abandoned_probe_frees_its_place() -> None:
    breaker = opened()
    assert breaker.allows(1.0)
    breaker.abandoned()
    assert breaker.allows(1.0)


def test_a_late_failure_of_an_earlier_request_changes_nothing() -> None:
    breaker = opened()
    breaker.failed(0.9)
    assert breaker.allows(1.0)


def test_a_success_while_closed_does_not_hide_failures() -> None:
    breaker = Breaker((1.0,))
    for at_s in range(5):
        breaker.failed(at_s)
        if at_s < 4:
            breaker.succeeded()
    assert not breaker.closed
