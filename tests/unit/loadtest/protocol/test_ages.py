from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.protocol.ages import Ages, bucket_max, bucket_of


@pytest.mark.parametrize("value", [0, 1, 1000, 2047])
def test_small_ages_are_kept_exactly(value: int) -> None:
    assert bucket_max(bucket_of(value)) == value


@given(st.integers(min_value=0, max_value=(1 << 32) - 1))
def test_a_bucket_never_understates_and_errs_by_a_thousandth(value: int) -> None:
    assert value <= bucket_max(bucket_of(value)) <= value * 1.001


@given(st.integers(min_value=0, max_value=1 << 31))
def test_a_greater_age_is_never_in_a_lower_bucket(value: int) -> None:
    assert bucket_of(value) <= bucket_of(value + 1)


def test_impossible_ages_are_counted_at_the_ends() -> None:
    assert bucket_of(-5) == 0
    assert bucket_of(1 << 40) == bucket_of((1 << 32) - 1)


def test_quantiles_are_the_smallest_values_that_enough_are_not_above() -> None:
    ages = Ages()
    for value in range(1, 101):
        ages.add(value)

    assert [ages.quantile(share) for share in (0.01, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]


def test_a_quantile_is_never_above_the_largest_age_seen() -> None:
    ages = Ages()
    ages.add(1_000_003)

    assert ages.quantile(0.5) == 1_000_003


def test_merged_ages_are_those_of_both() -> None:
    ages, other = Ages(), Ages()
    for value in (10, 20):
        ages.add(value)
    for value in (20, 4000):
        other.add(value)
    ages.merge(other)

    assert (ages.count, ages.total, ages.largest) == (4, 4050, 4000)
    assert ages.quantile(0.75) == 20


def test_summary_is_in_ms() -> None:
    ages = Ages()
    for value in (10, 20, 30):
        ages.add(value)

    assert ages.summary_ms() == {"count": 3, "mean": 2.0, "p50": 2.0, "p90": 3.0, "p99": 3.0, "p999": 3.0, "max": 3.0}


def test_no_ages_have_no_quantiles() -> None:
    assert Ages().quantile(0.5) == 0
    assert Ages().summary_ms() == {"count": 0}
