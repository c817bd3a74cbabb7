from __future__ import annotations

import pytest

from gateway.delivery.throttle import (
    CALM_S,
    MISSES_TO_SLOW,
    TIER_RATES,
    UNSENT_SLOW_BYTES,
    Allowance,
    Pace,
    tier_for_rate,
)

SLOWEST = len(TIER_RATES) - 1
TICK_MS = 50


@pytest.fixture
def pace() -> Pace:
    return Pace()


@pytest.mark.parametrize(
    ("max_rate", "tier"), [(0.0, 0), (100.0, 0), (20.0, 0), (19.0, 1), (10.0, 1), (4.0, 3), (1.25, 4), (0.1, 4)]
)
def test_a_rate_gets_the_fastest_tier_that_keeps_to_it(max_rate: float, tier: int) -> None:
    assert tier_for_rate(max_rate, TICK_MS) == tier


class TestMiss:
    def test_a_hiccup_is_not_slowness(self, pace: Pace) -> None:
        assert [pace.miss(1.0) for _ in range(MISSES_TO_SLOW)] == [0] * (MISSES_TO_SLOW - 1) + [1]

    def test_misses_count_in_a_row_only(self, pace: Pace) -> None:
        for _ in range(5):
            for _ in range(MISSES_TO_SLOW - 1):
                assert pace.miss(1.0) == 0
            pace.keep_up()

    def test_the_slowest_tier_is_the_last(self, pace: Pace) -> None:
        pace.set_tier(SLOWEST)
        assert {pace.miss(1.0) for _ in range(10)} == {SLOWEST}

    def test_a_stall_lasts_from_its_first_miss(self, pace: Pace) -> None:
        pace.miss(3.0)
        pace.miss(4.0)
        assert pace.stalled_since_s == 3.0
        pace.keep_up()
        assert pace.stalled_since_s is None


class TestCalm:
    def test_each_calm_time_makes_the_session_one_tier_faster(self, pace: Pace) -> None:
        pace.set_tier(2)
        pace.miss(10.0)
        pace.keep_up()
        assert pace.calmed_tier(10.0 + CALM_S - 1) == 2
        assert pace.calmed_tier(10.0 + CALM_S) == 1
        pace.set_tier(1)
        assert pace.calmed_tier(10.0 + CALM_S + 1) == 1
        assert pace.calmed_tier(10.0 + 2 * CALM_S) == 0

    def test_a_stall_is_not_calm_however_long_it_lasts(self, pace: Pace) -> None:
        pace.set_tier(2)
        pace.miss(10.0)
        assert pace.calmed_tier(1000.0) == 2

    def test_the_session_is_never_faster_than_its_client_wants(self, pace: Pace) -> None:
        pace.set_tier(pace.limit_rate(5, TICK_MS))
        assert pace.calmed_tier(1000.0) == pace.tier == 2

    def test_a_session_that_is_too_fast_moves_to_the_tier_its_client_wants(self, pace: Pace) -> None:
        pace.limit_rate(2.5, TICK_MS)
        pace.set_tier(1)
        assert pace.calmed_tier(1000.0) == 3


class TestLimitRate:
    def test_a_session_held_back_by_its_limit_goes_by_the_new_limit(self, pace: Pace) -> None:
        pace.set_tier(pace.limit_rate(2.5, TICK_MS))
        assert (pace.tier, pace.fastest_tier, pace.max_rate) == (3, 3, 2.5)
        assert pace.limit_rate(0, TICK_MS) == 0

    def test_a_slow_session_stays_slow(self, pace: Pace) -> None:
        pace.set_tier(3)
        assert pace.limit_rate(10, TICK_MS) == 3
        assert pace.limit_rate(1.25, TICK_MS) == 4


def test_a_budget_is_halved_for_each_tier_that_a_session_is_too_slow(pace: Pace) -> None:
    assert (pace.budget_bytes(1024), pace.unsent_max_bytes) == (1024, UNSENT_SLOW_BYTES)
    pace.set_tier(3)
    assert (pace.budget_bytes(1024), pace.unsent_max_bytes) == (128, UNSENT_SLOW_BYTES // 8)
    for max_rate in (2.5, 1.25):
        pace.limit_rate(max_rate, TICK_MS)
        assert pace.budget_bytes(1024) == 1024


def test_a_byte_limit_of_zero_lifts_it(pace: Pace) -> None:
    pace.limit_bytes(60_000)
    assert pace.allowance is not None
    assert pace.allowance.bytes_per_min == 60_000
    pace.limit_bytes(0)
    assert pace.allowance is None


class TestAllowance:
    """60,000 bytes a minute are 1,000 a second."""

    def test_is_full_at_the_start(self) -> None:
        assert Allowance(60_000).has_any(5.0)

    def test_is_paid_back_over_time_when_overdrawn(self) -> None:
        allowance = Allowance(60_000)
        allowance.has_any(5.0)
        allowance.spend(2500)
        assert [allowance.has_any(5.0 + half / 2) for half in range(7)] == [False] * 5 + [True] * 2

    def test_is_not_saved_up_for_more_than_a_second(self) -> None:
        allowance = Allowance(60_000)
        allowance.has_any(5.0)
        assert allowance.has_any(500.0)
        allowance.spend(1500)
        assert not allowance.has_any(500.0)
        assert allowance.has_any(500.5)
