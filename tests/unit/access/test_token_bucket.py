"""Token buckets: exactly the burst, and one more per interval."""

from __future__ import annotations

import pytest

from gateway.access.token_bucket import SECOND_US, Rate, TokenBuckets, charge, take


def taken(full_us: int, now_us: int, rate: Rate, times: int) -> tuple[int, int]:
    """How many of `times` requests pass at once, and the new `full_us`."""
    passed = 0
    for _ in range(times):
        full_us, _, wait_us = take(full_us, now_us, rate)
        passed += wait_us == 0
    return passed, full_us


@pytest.mark.parametrize("rate", [Rate.per_minute(100, 100), Rate.per_minute(7, 13), Rate.per_second(0.3, 1)])
@pytest.mark.parametrize("now_us", [0, 1, 10**15 + 7])
def test_a_full_bucket_gives_exactly_its_burst(rate: Rate, now_us: int) -> None:
    assert taken(0, now_us, rate, rate.burst + 50)[0] == rate.burst


def test_each_interval_adds_one_up_to_the_burst() -> None:
    rate = Rate.per_minute(100, 100)
    _, full_us = taken(0, 0, rate, 100)
    assert taken(full_us, rate.interval_us - 1, rate, 5)[0] == 0
    assert taken(full_us, rate.interval_us, rate, 5)[0] == 1
    assert taken(full_us, 10 * rate.interval_us, rate, 50)[0] == 10
    assert taken(full_us, 3600 * SECOND_US, rate, 500)[0] == 100


def test_the_result_has_tokens_left_and_time_to_wait() -> None:
    rate = Rate.per_second(10, 3)
    full_us, left, wait_us = take(0, 0, rate)
    assert (left, wait_us) == (2, 0)
    full_us, left, wait_us = take(full_us, 0, rate, 2)
    assert (left, wait_us) == (0, 0)
    refused = take(full_us, 40_000, rate)
    assert refused == (full_us, 0, 60_000)
    assert take(full_us, 40_000 + 60_000, rate).wait_us == 0


def test_a_refusal_takes_nothing() -> None:
    rate = Rate.per_second(10, 3)
    full_us = take(0, 0, rate, 2).full_us
    refused = take(full_us, 0, rate, 2)
    assert (refused.full_us, refused.left) == (full_us, 1)
    assert take(full_us, 0, rate).wait_us == 0


def test_a_cost_above_the_burst_passes_from_a_full_bucket_only() -> None:
    rate = Rate.per_second(10, 3)
    emptied = take(0, 0, rate, 50)
    assert (emptied.wait_us, emptied.left) == (0, 0)
    assert take(take(0, 0, rate).full_us, 0, rate, 50).wait_us == 100_000


def test_a_charge_creates_debt_up_to_one_full_bucket() -> None:
    rate = Rate.per_second(10, 3)
    full_us = charge(0, 0, rate, 2)
    assert take(full_us, 0, rate).wait_us == 0
    full_us = charge(full_us, 0, rate, 2)
    assert take(full_us, 0, rate).wait_us == 200_000
    assert charge(full_us, 0, rate, 1000) == 600_000 == charge(600_000, 0, rate, 1)
    assert take(600_000, 399_999, rate).wait_us == 1
    assert charge(600_000, -SECOND_US, rate, 1) == 600_000, "an earlier clock gives nothing back"


SLOW = Rate.per_second(1, 2)


def test_each_key_has_its_own_bucket() -> None:
    buckets = TokenBuckets(10)
    assert [buckets.take("a", 0, SLOW).wait_us for _ in range(3)] == [0, 0, 1_000_000]
    assert buckets.take("b", 0, SLOW).wait_us == 0


def test_the_key_used_least_recently_is_dropped() -> None:
    buckets = TokenBuckets(3)
    for name in ("a", "a", "b", "b", "c", "a", "d"):
        buckets.take(name, 0, SLOW)
    assert len(buckets) == 3
    assert buckets.take("a", 0, SLOW).wait_us > 0, "it was used last"
    assert buckets.take("b", 0, SLOW).wait_us == 0, "it was dropped"
    for number in range(10_000):
        buckets.take(str(number), 0, SLOW)
    assert len(buckets) == 3


def test_a_charged_key_waits_and_counts_as_used() -> None:
    buckets = TokenBuckets(3)
    buckets.charge("a", 0, SLOW, 3)
    assert buckets.take("a", 0, SLOW).wait_us == 2_000_000
    for number in range(5):
        buckets.charge(str(number), 0, SLOW, 1)
    assert len(buckets) == 3
