"""The load level follows what beats cost on average, in rungs, and does not flap."""

from __future__ import annotations

import pytest

from gateway.delivery.channel import Lane
from gateway.delivery.load_level import CALM_S, DWELL_S, LANE_PERIODS, SHED_AFTER_S, Level, Load

TICK_S = 0.05


class Run:
    """A load and its clock. `cost` is what a beat with everything in it takes, in ticks; held lanes cost nothing."""

    def __init__(self) -> None:
        self.load = Load(TICK_S)
        self.tick = 0
        self.changes = 0

    @property
    def now_s(self) -> float:
        return self.tick * TICK_S

    def for_seconds(self, seconds: float, cost: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.tick += 1
            busy_s = 0.0 if Lane.TICKER in self.load.held_lanes(self.tick) else cost * TICK_S
            self.changes += self.load.observe(busy_s, self.now_s)


@pytest.fixture
def run() -> Run:
    return Run()


def test_nothing_is_held_back_while_beats_are_cheap(run: Run) -> None:
    run.for_seconds(5, 0.5)
    assert run.load.level is Level.NORMAL
    assert not run.load.held_lanes(1)
    assert not run.load.refuses


def test_one_long_beat_is_no_load(run: Run) -> None:
    run.for_seconds(1, 0.3)
    run.load.observe(10.0, run.now_s)
    assert run.load.level is Level.NORMAL


def test_beats_that_take_all_the_time_raise_the_level_by_one_rung(run: Run) -> None:
    run.for_seconds(DWELL_S * 2, 1.5)
    assert run.load.level is Level.BUSY


def test_a_level_that_carries_the_load_is_kept(run: Run) -> None:
    run.for_seconds(30, 1.5)
    assert run.load.level is Level.BUSY
    assert run.changes == 1


def test_the_level_falls_when_the_rung_below_would_do_for_a_while(run: Run) -> None:
    run.for_seconds(2, 1.5)
    run.for_seconds(CALM_S + 2, 0.5)
    assert run.load.level is Level.NORMAL
    assert run.changes == 2


def test_a_calm_that_does_not_last_counts_for_nothing(run: Run) -> None:
    run.for_seconds(2, 1.5)
    for _ in range(10):
        run.for_seconds(CALM_S * 0.6, 0.2)
        run.for_seconds(1, 1.6)
    assert run.load.level is Level.BUSY


def test_a_try_that_failed_makes_the_next_one_wait_longer(run: Run) -> None:
    for _ in range(100):
        # What a busy rung costs makes the normal one look affordable, which it is not.
        run.for_seconds(0.6, 1.5 if run.load.level is Level.NORMAL else 0.6)
    assert 6 <= run.changes <= 16


def test_a_rung_that_held_for_long_is_tried_as_soon_as_ever(run: Run) -> None:
    levels = []
    for _ in range(5):
        run.for_seconds(30, 0.5)
        run.for_seconds(DWELL_S * 2, 1.5)
        levels.append(run.load.level)
        run.for_seconds(CALM_S + 2, 0.5)
        levels.append(run.load.level)
    assert levels == [Level.BUSY, Level.NORMAL] * 5


def test_tickers_wait_longer_than_forming_klines(run: Run) -> None:
    run.load.level = Level.SURGE
    held = [run.load.held_lanes(tick) for tick in range(4)]
    assert held == [set(), {Lane.TICKER, Lane.KLINE}, {Lane.TICKER}, {Lane.TICKER, Lane.KLINE}]


def test_the_last_rung_refuses_and_in_time_sheds(run: Run) -> None:
    # A load that no pace makes lighter.
    for _ in range(round(4 * (DWELL_S + 1) / TICK_S)):
        run.tick += 1
        run.load.observe(2 * TICK_S, run.now_s)
    assert run.load.level is Level.OVERLOAD
    assert run.load.refuses
    assert not run.load.sheds(run.now_s)
    assert run.load.sheds(run.now_s + SHED_AFTER_S)


def test_nothing_is_shed_once_the_last_rung_is_left(run: Run) -> None:
    for _ in range(round(4 * (DWELL_S + 1) / TICK_S)):
        run.tick += 1
        run.load.observe(2 * TICK_S, run.now_s)
    run.for_seconds(CALM_S + 2, 0.1)
    assert run.load.level < Level.OVERLOAD
    assert not run.load.sheds(run.now_s + SHED_AFTER_S)


def test_every_rung_is_slower_than_the_one_before() -> None:
    paces = [LANE_PERIODS[level].ticker for level in Level]
    assert paces == sorted(set(paces))
