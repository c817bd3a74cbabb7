"""Interval arithmetic: windows tile the time without gap or overlap, on the calendar exchanges use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.model.interval import INTERVALS

ALL = pytest.mark.parametrize("name", INTERVALS)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("name", "at", "opens", "closes"),
    [
        ("1s", "2024-11-22 21:14:30.123", "2024-11-22 21:14:30", "2024-11-22 21:14:30.999"),
        ("1m", "2024-11-22 21:14:30.123", "2024-11-22 21:14", "2024-11-22 21:14:59.999"),
        ("3m", "2024-11-22 21:14:30.123", "2024-11-22 21:12", "2024-11-22 21:14:59.999"),
        ("4h", "2024-11-22 21:14:30.123", "2024-11-22 20:00", "2024-11-22 23:59:59.999"),
        ("1d", "2024-11-22 21:14:30.123", "2024-11-22", "2024-11-22 23:59:59.999"),
        ("1w", "2024-11-22 21:14:30.123", "2024-11-18", "2024-11-24 23:59:59.999"),
        ("1M", "2024-11-22 21:14:30.123", "2024-11-01", "2024-11-30 23:59:59.999"),
        ("1M", "2024-02-29 23:59:59.999", "2024-02-01", "2024-02-29 23:59:59.999"),
        ("1M", "2023-12-31 23:59:59.999", "2023-12-01", "2023-12-31 23:59:59.999"),
    ],
)
def test_a_moment_falls_into_the_window_the_exchange_uses(name: str, at: str, opens: str, closes: str) -> None:
    interval = INTERVALS[name]
    opened = interval.open_time(ms(at))
    assert opened == ms(opens)
    assert interval.close_time(opened) == ms(closes)


@ALL
def test_windows_follow_each_other_without_gap_or_overlap(name: str) -> None:
    interval = INTERVALS[name]
    opened = interval.open_time(ms("2023-11-22 21:14:30.123"))
    for _ in range(30):
        following = interval.next_open(opened)
        assert interval.close_time(opened) + 1 == following
        assert interval.open_time(following) == following
        assert interval.open_time(following - 1) == opened
        assert interval.previous_open(following) == opened
        opened = following


@ALL
@pytest.mark.parametrize("count", [0, 1, 14])
def test_going_back_is_the_reverse_of_going_on(name: str, count: int) -> None:
    interval = INTERVALS[name]
    start = interval.open_time(ms("2024-03-05"))
    opened = start
    for _ in range(count):
        opened = interval.next_open(opened)
    assert interval.back(opened, count) == start


def test_weeks_open_on_mondays_before_the_epoch_too() -> None:
    assert INTERVALS["1w"].open_time(0) == ms("1969-12-29")


def test_names_are_case_sensitive_and_sorted_by_length() -> None:
    assert INTERVALS["1m"] is not INTERVALS["1M"]
    lengths = [interval.close_time(interval.open_time(0)) - interval.open_time(0) for interval in INTERVALS.values()]
    assert lengths == sorted(lengths)
    assert [interval.name for interval in INTERVALS.values()] == list(INTERVALS)


@ALL
@pytest.mark.parametrize("part", INTERVALS)
def test_an_interval_is_made_of_those_that_fill_it_wherever_it_lies(name: str, part: str) -> None:
    whole, piece = INTERVALS[name], INTERVALS[part]
    opened = whole.open_time(ms("2023-11-22 21:14:30.123"))
    windows = [opened]
    while len(windows) < 24:
        windows.append(whole.next_open(windows[-1]))
    fits = name != part and all(piece.open_time(window) == window for window in windows)
    assert whole.is_made_of(piece) is fits
    if fits:
        counts = [(whole.next_open(window) - window) // piece.length_ms for window in windows]
        assert whole.parts_max(piece) == max(counts)
