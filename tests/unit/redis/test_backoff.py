"""The schedule of waits between attempts."""

from __future__ import annotations

from gateway.redis.backoff import Backoff


def test_each_failure_takes_the_next_wait_and_the_last_one_repeats() -> None:
    backoff = Backoff((1.0, 2.0, 4.0))
    assert [backoff.next_wait_s() for _ in range(5)] == [1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_success_starts_the_schedule_again() -> None:
    backoff = Backoff((1.0, 2.0))
    backoff.next_wait_s()
    backoff.reset()
    assert [backoff.next_wait_s() for _ in range(2)] == [1.0, 2.0]
