"""Which rows are closed: a later row says so, and for what is stored, time."""

from __future__ import annotations

import math

import pytest

from gateway.feed.formats.row_series import RowSeries, marked, stored_rows, timed_rows
from tests.builders import MINUTE_MS, T0

LIMIT_MS = T0 + 60 * MINUTE_MS


def row(number: int, close: float = 1.5) -> bytes:
    return f"[{T0 + number * MINUTE_MS},1,2,1,{close},3]".encode()


def rows(*some: bytes) -> bytes:
    return b"[" + b",".join(some) + b"]"


def text(number: int, close: float = 1.5) -> bytes:
    """A row out of a list of rows, where decimals become texts."""
    return f'[{T0 + number * MINUTE_MS},1,2,1,"{close}",3]'.encode()


@pytest.fixture
def series() -> RowSeries:
    return RowSeries("1m")


def test_a_row_is_forming_until_one_with_a_later_time_comes(series: RowSeries) -> None:
    assert series.take(row(0), LIMIT_MS) == [row(0)]
    assert series.take(row(0, 1.75), LIMIT_MS) == [row(0, 1.75)]
    assert series.take(row(1), LIMIT_MS) == [marked(row(0, 1.75)), row(1)]
    assert series.take(row(4), LIMIT_MS) == [marked(row(1)), row(4)]


def test_a_row_that_says_nothing_new_is_not_passed_on(series: RowSeries) -> None:
    series.take(row(0), LIMIT_MS)
    assert series.take(row(0), LIMIT_MS) == []


def test_a_late_row_is_closed_and_changes_nothing_else(series: RowSeries) -> None:
    series.take(row(2), LIMIT_MS)
    assert series.take(row(1), LIMIT_MS) == [marked(row(1))]
    assert series.take(row(2, 1.75), LIMIT_MS) == [row(2, 1.75)]
    assert series.take(row(3), LIMIT_MS) == [marked(row(2, 1.75)), row(3)]


def test_of_several_rows_the_last_is_forming_and_known_ones_are_left_out(series: RowSeries) -> None:
    assert series.take(rows(row(0), row(1)), LIMIT_MS) == [marked(text(0)), text(1)]
    assert series.take(rows(row(0), row(1, 1.75)), LIMIT_MS) == [text(1, 1.75)]
    assert series.take(rows(row(1, 1.75), row(2)), LIMIT_MS) == [marked(text(1, 1.75)), text(2)]


@pytest.mark.parametrize("bad", [row(61), b'["then",1,1,1,1,1]', b"[1732320000007,1,1,1,1,1]", b"oops", b"{}"])
def test_a_row_without_a_plausible_time_passes_and_closes_nothing(series: RowSeries, bad: bytes) -> None:
    series.take(row(0), LIMIT_MS)
    assert series.take(bad, LIMIT_MS) in ([bad], [bad.replace(b" ", b"")])
    assert series.take(row(0, 1.75), LIMIT_MS) == [row(0, 1.75)]


def test_a_good_row_beside_a_bad_one_is_used(series: RowSeries) -> None:
    assert series.take(rows(row(61), row(0)), LIMIT_MS) == [text(61), text(0)]


def test_a_stored_row_is_closed_by_a_later_one() -> None:
    assert stored_rows([row(0), row(1)], "1m", LIMIT_MS, T0 + MINUTE_MS) == [marked(row(0)), row(1)]


def test_a_stored_row_is_closed_once_the_interval_after_its_own_has_ended() -> None:
    assert stored_rows([row(0)], "1m", LIMIT_MS, T0 + 2 * MINUTE_MS - 1) == [row(0)]
    assert stored_rows([row(0)], "1m", LIMIT_MS, T0 + 2 * MINUTE_MS) == [marked(row(0))]


def test_a_stored_member_without_a_plausible_time_is_left_to_be_refused() -> None:
    assert stored_rows([b"oops", row(61), row(0)], "1m", LIMIT_MS, T0) == [b"oops", row(61), row(0)]
    assert stored_rows([], "1m", LIMIT_MS, T0) == []


def test_rows_keep_the_text_of_their_numbers() -> None:
    found, refused = timed_rows(b"[[1732320000000, 97000.10, 1e-05]]", "1m", math.inf)
    assert (found, refused) == ({T0: b'[1732320000000,"97000.10","1e-05"]'}, [])
