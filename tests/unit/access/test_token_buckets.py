from __future__ import annotations

from gateway.access.token_bucket import Rate
from gateway.access.token_buckets import TokenBuckets

RATE = Rate.per_second(1, 2)


def test_everybody_has_a_bucket_of_his_own() -> None:
    buckets = TokenBuckets(10)
    assert [buckets.take("a", 0, RATE).wait_us for _ in range(3)] == [0, 0, 1_000_000]
    assert buckets.take("b", 0, RATE).wait_us == 0


def test_the_longest_quiet_is_forgotten_so_that_memory_is_bounded() -> None:
    buckets = TokenBuckets(3)
    for name in ("a", "a", "b", "b", "c", "a", "d"):
        buckets.take(name, 0, RATE)
    assert len(buckets) == 3
    assert buckets.take("a", 0, RATE).wait_us > 0, "it was just here"
    assert buckets.take("b", 0, RATE).wait_us == 0, "it was forgotten"
    for number in range(10_000):
        buckets.take(str(number), 0, RATE)
    assert len(buckets) == 3


def test_who_owes_waits_and_is_remembered_like_everybody() -> None:
    buckets = TokenBuckets(3)
    buckets.charge("a", 0, RATE, 3)
    assert buckets.take("a", 0, RATE).wait_us == 2_000_000
    for number in range(5):
        buckets.charge(str(number), 0, RATE, 1)
    assert len(buckets) == 3
