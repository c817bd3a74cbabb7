from __future__ import annotations

import pytest

from loadtest.protocol import stamps


def test_a_price_has_its_send_time_and_update_number() -> None:
    sent = stamps.stamp_at(now_ns=7_300_000_000, epoch_ns=300_000_000)

    assert stamps.price(sent, 23_456) == "10070000.3456"
    assert stamps.read(float("10070000.3456")) == (10_070_000, 3456)


@pytest.mark.parametrize("number", [0, 1, 9_998, 9_999, 10_000, 12_345])
def test_digits_survive_a_double(number: int) -> None:
    for stamp in (stamps.BASE, 12_345_678, stamps.LIMIT - 1):
        assert stamps.read(float(stamps.price(stamp, number))) == (stamp, number % stamps.WRAP)


def test_prices_rise_when_the_number_wraps_because_time_has_passed() -> None:
    assert float(stamps.price(10_000_001, 10_000)) > float(stamps.price(10_000_000, 9_999))


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [(1, 2, 0), (1, 5, 3), (9_999, 10_000, 0), (9_990, 10_010, 19)],
    ids=["next", "three skipped", "wrap", "across the wrap"],
)
def test_skipped_updates_are_counted_exactly(before: int, after: int, between: int) -> None:
    prices = [float(stamps.price(10_000_000 + number, number)) for number in (before, after)]

    assert stamps.skipped(*prices) == between


def test_only_prices_of_this_feed_are_stamps() -> None:
    assert stamps.is_stamp(float(stamps.BASE))
    assert not stamps.is_stamp(0.0)
    assert not stamps.is_stamp(97_123.45)
    assert not stamps.is_stamp(float(stamps.LIMIT))


def test_neighbouring_klines_have_different_volumes() -> None:
    minute = 60_000

    assert stamps.volume_of(5 * minute, minute) == 6
    assert stamps.volume_of(6 * minute, minute) == 7
    assert stamps.volume_of(1_000_000 * minute, minute) == 1
