"""Rates for a number of commands a day."""

from __future__ import annotations

import re

import pytest

from collector.budget import FORMING_MAX_S, BudgetError, Rates, commands_for, rates_for

INTERVALS = ("1m", "5m", "15m", "1h", "4h", "1d")
FREE_A_DAY = 500_000 // 30


def test_a_hundred_symbols_fit_into_the_smallest_plan_and_prices_stay_fresh() -> None:
    rates = rates_for(FREE_A_DAY, 100, INTERVALS)
    assert commands_for(rates, 100, INTERVALS) <= FREE_A_DAY
    assert rates.flush_s <= 12
    assert rates.bundle


@pytest.mark.parametrize("lease", [False, True], ids=["alone", "with-a-lease"])
@pytest.mark.parametrize("bundle", [True, False], ids=["bundles", "no-bundles"])
def test_more_commands_are_never_less_fresh_and_what_is_chosen_fits(*, bundle: bool, lease: bool) -> None:
    before = Rates(flush_s=61.0, store_every=1000)
    for commands_a_day in (10**6, 2 * 10**6, 10**7, 10**8):
        rates = rates_for(commands_a_day, 100, INTERVALS, bundle=bundle, lease=lease)
        assert commands_for(rates, 100, INTERVALS, lease=lease) <= commands_a_day
        assert (rates.store_every, rates.flush_s) <= (before.store_every, before.flush_s)
        assert rates.bundle is bundle
        assert rates.forming is (rates.flush_s <= FORMING_MAX_S)
        before = rates


@pytest.mark.parametrize(
    ("bundle", "lease"), [(True, False), (False, False), (True, True)], ids=["bundles", "no-bundles", "with-a-lease"]
)
def test_the_least_that_is_possible_is_named_and_is_enough(*, bundle: bool, lease: bool) -> None:
    with pytest.raises(BudgetError, match=r"collect\.commands_a_day: expected at least \d+ for 100 symbols") as refused:
        rates_for(1, 100, INTERVALS, bundle=bundle, lease=lease)
    least = int(re.findall(r"at least (\d+)", str(refused.value))[0])
    rates_for(least, 100, INTERVALS, bundle=bundle, lease=lease)
    with pytest.raises(BudgetError):
        rates_for(least - 1, 100, INTERVALS, bundle=bundle, lease=lease)


def test_who_goes_without_bundles_is_told_what_they_save() -> None:
    with pytest.raises(BudgetError, match=r"or \d+ with bundles"):
        rates_for(FREE_A_DAY, 100, INTERVALS, bundle=False)


def test_with_a_lease_every_kline_is_stored_at_once() -> None:
    assert rates_for(10**6, 100, INTERVALS, lease=True).store_every == 1


def test_months_are_counted_as_rare_closes() -> None:
    rates = Rates(flush_s=10.0, bundle=True)
    assert 0 < commands_for(rates, 1, ("1M",)) < commands_for(rates, 1, ("1d",))
