from __future__ import annotations

import pytest

from gateway.delivery.throttle import (
    CALM_S,
    DEFAULT,
    FAST,
    MISSES_TO_SLOW,
    SLOW,
    TIER_INTERVALS_S,
    TIER_RATES,
    UNSENT_SLOW_BYTES,
    Allowance,
    Pace,
    tier_for_rate,
)

SLOWEST = len(TIER_RATES) - 1
TWICE, ONCE = TIER_RATES.index(2.0), TIER_RATES.index(1.0)
"""The tiers with so many writes a second."""


@pytest.fixture
def pace() -> Pace:
    return Pace()


@pytest.mark.parametrize(
    ("max_rate", "rate"), [(1000.0, 60.0), (60.0, 60.0), (59.0, 30.0), (8.0, 8.0), (2.5, 2.0), (1.0, 1.0), (0.1, 1.0)]
)
def test_a_rate_gets_the_fastest_tier_that_keeps_to_it(max_rate: float, rate: float) -> None:
    assert TIER_RATES[tier_for_rate(max_rate)] == rate


def test_without_a_rate_a_session_is_in_the_tier_that_has_none() -> None:
    assert tier_for_rate(0) == DEFAULT
    assert TIER_INTERVALS_S[FAST] == TIER_INTERVALS_S[DEFAULT] == 0
    assert TIER_INTERVALS_S[TWICE] == 0.5


def test_each_tier_is_slower_than_the_one_before() -> None:
    assert list(TIER_RATES[DEFAULT:]) == sorted(set(TIER_RATES), reverse=True)


class TestMiss:
    def test_a_hiccup_is_not_slowness(self, pace: Pace) -> None:
        tiers = [pace.miss(1.0) for _ in range(MISSES_TO_SLOW)]
        assert tiers == [DEFAULT] * (MISSES_TO_SLOW - 1) + [DEFAULT + 1]

    def test_misses_count_in_a_row_only(self, pace: Pace) -> None:
        for _ in range(5):
            for _ in range(MISSES_TO_SLOW - 1):
                assert pace.miss(1.0) == DEFAULT
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
        pace.set_tier(3)
        pace.miss(10.0)
        pace.keep_up()
        assert pace.calmed_tier(10.0 + CALM_S - 1) == 3
        assert pace.calmed_tier(10.0 + CALM_S) == 2
        pace.set_tier(2)
        assert pace.calmed_tier(10.0 + CALM_S + 1) == 2
        assert pace.calmed_tier(10.0 + 2 * CALM_S) == DEFAULT

    def test_a_stall_is_not_calm_however_long_it_lasts(self, pace: Pace) -> None:
        pace.set_tier(2)
        pace.miss(10.0)
        assert pace.calmed_tier(1000.0) == 2

    def test_the_session_is_never_faster_than_its_client_wants(self, pace: Pace) -> None:
        pace.set_tier(pace.limit_rate(2))
        assert pace.calmed_tier(1000.0) == pace.tier == TWICE

    def test_a_session_that_is_too_fast_moves_to_the_tier_its_client_wants(self, pace: Pace) -> None:
        pace.limit_rate(2)
        pace.set_tier(2)
        assert pace.calmed_tier(1000.0) == TWICE

    def test_a_fast_session_that_was_slow_gets_back_to_the_fast_tier(self, pace: Pace) -> None:
        pace.want_fast(fast=True)
        pace.set_tier(DEFAULT)
        assert pace.calmed_tier(1000.0) == FAST


class TestWishes:
    def test_a_session_held_back_by_its_limit_goes_by_the_new_limit(self, pace: Pace) -> None:
        pace.set_tier(pace.limit_rate(2.5))
        assert (pace.tier, pace.fastest_tier, pace.max_rate) == (TWICE, TWICE, 2.5)
        assert pace.limit_rate(0) == DEFAULT

    def test_a_slow_session_stays_slow(self, pace: Pace) -> None:
        pace.set_tier(TWICE)
        assert pace.limit_rate(30) == TWICE
        assert pace.limit_rate(1) == ONCE

    def test_who_wants_updates_at_once_is_in_the_fast_tier(self, pace: Pace) -> None:
        pace.set_tier(pace.want_fast(fast=True))
        assert (pace.tier, pace.fastest_tier, pace.fast) == (FAST, FAST, True)
        assert pace.want_fast(fast=False) == DEFAULT

    def test_a_limit_goes_before_the_wish_for_updates_at_once(self, pace: Pace) -> None:
        pace.limit_rate(2)
        assert pace.want_fast(fast=True) == TWICE
        pace.set_tier(TWICE)
        assert pace.limit_rate(0) == FAST, "the wish is kept"

    def test_a_slow_session_is_not_made_fast_by_a_wish(self, pace: Pace) -> None:
        pace.set_tier(TWICE)
        assert pace.want_fast(fast=True) == TWICE


def test_a_budget_is_halved_for_each_tier_that_a_session_is_too_slow(pace: Pace) -> None:
    for tier in range(SLOW + 1):
        pace.set_tier(tier)
        assert (pace.budget_bytes(1024), pace.unsent_max_bytes) == (1024, UNSENT_SLOW_BYTES), "no burden yet"
    pace.set_tier(SLOW + 3)
    assert (pace.budget_bytes(1024), pace.unsent_max_bytes) == (128, UNSENT_SLOW_BYTES // 8)
    for max_rate in (2, 1):
        pace.limit_rate(max_rate)
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

    def test_is_quiet_while_nothing_is_sent_with_a_flush(self) -> None:
        allowance = Allowance(60_000)
        allowance.spend(10, 100.0)
        allowance.spend(10)
        assert [allowance.is_quiet(now_s, 5.0) for now_s in (100.0, 104.9, 105.0)] == [False, False, True]
