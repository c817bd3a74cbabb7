from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.replay.clock import MarketClock
from tests.builders import T0


def test_it_stands_still_until_it_is_started() -> None:
    clock = MarketClock(60)
    assert (clock.running, clock.market_ms(1e6)) == (False, 0)
    clock.start(T0, 100.0)
    assert (clock.running, clock.market_ms(100.0)) == (True, T0)


@pytest.mark.parametrize("speed", [1, 2.5, 60, 1000])
def test_market_time_passes_at_its_speed(speed: float) -> None:
    clock = MarketClock(speed)
    clock.start(T0, 5.0)
    assert clock.market_ms(7.0) == T0 + 2000 * speed
    assert clock.real_s(T0 + round(2000 * speed)) == 7.0


def test_it_waits_for_a_replay_that_has_not_come_as_far() -> None:
    clock = MarketClock(60)
    clock.start(T0, 0.0)
    clock.wait(T0 + 1000, 10.0)
    assert clock.market_ms(10.0) == T0 + 1000
    assert clock.market_ms(11.0) == T0 + 61_000


def test_it_does_not_jump_ahead_to_a_replay() -> None:
    clock = MarketClock(60)
    clock.start(T0, 0.0)
    clock.wait(T0 + 900_000, 10.0)
    assert clock.market_ms(10.0) == T0 + 600_000


@given(
    speed=st.floats(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 100), st.none() | st.floats(0, 1)), min_size=1, max_size=20),
)
def test_however_often_it_waits_it_is_never_faster_than_its_speed(
    speed: float, steps: list[tuple[float, float | None]]
) -> None:
    clock, now_s, reached_ms = MarketClock(speed), 0.0, T0
    clock.start(T0, now_s)
    for seconds, waits in steps:
        now_s += seconds
        due_ms = clock.market_ms(now_s)
        assert reached_ms <= due_ms <= reached_ms + seconds * speed * 1000 + 1
        if waits is None:
            reached_ms = due_ms
        else:
            reached_ms += int((due_ms - reached_ms) * waits)
            clock.wait(reached_ms, now_s)
            assert clock.market_ms(now_s) == reached_ms
