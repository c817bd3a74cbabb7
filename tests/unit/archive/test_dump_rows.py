"""Rows read at once are what they are one by one, or are left to that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.archive import dumps
from gateway.archive.dump_rows import whole_rows
from gateway.archive.dumps import COLUMNS, BadRow, klines_of, rows_of
from gateway.model.interval import INTERVALS
from tests.unit.archive.klines import T0, run

PLACES = {name: place for place, name in enumerate(COLUMNS)}
MINUTE = INTERVALS["1m"]
ROWS = [[str(cell) for cell in row] for row in rows_of(run(0, 5))]


def changed(number: int, name: str, text: str) -> list[list[str]]:
    rows = [list(row) for row in ROWS]
    rows[number][PLACES[name]] = text
    return rows


def test_are_klines_to_the_digit() -> None:
    assert whole_rows(ROWS, PLACES, MINUTE) == run(0, 5)


def test_have_times_in_microseconds() -> None:
    rows = [[f"{row[0]}000", *row[1:]] for row in ROWS]
    assert whole_rows(rows, PLACES, MINUTE) == run(0, 5)


def test_lack_columns_that_no_kline_needs() -> None:
    places = {name: PLACES[name] for name in ("open_time", "open", "high", "low", "close")}
    unknown = {"volume": "0", "quote_volume": "0", "trades": 0, "taker_volume": "0", "taker_quote_volume": "0"}
    assert whole_rows(ROWS, places, MINUTE) == [kline._replace(**unknown) for kline in run(0, 5)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("open_time", str(T0 + 1)),
        ("open_time", f"{T0}000"),
        ("open_time", "soon"),
        ("high", "nan"),
        ("high", "97100.5.0"),
        ("high", ".5"),
        ("high", ""),
        ("high", "9" * 31),
        ("high", "97,100"),
        ("high", "\u0661\u0662"),
        ("high", "1"),
        ("low", "0"),
        ("low", "97050.00"),
        ("close", "97200"),
        ("volume", "-1"),
        ("volume", "1e5"),
        ("volume", "007"),
        ("count", "-1"),
        ("count", "1.0"),
    ],
)
def test_with_one_that_is_odd_are_left_to_be_read_one_by_one(name: str, text: str) -> None:
    assert whole_rows(changed(3, name, text), PLACES, MINUTE) is None


def test_that_are_all_of_another_unit_are_left_to_be_read_one_by_one() -> None:
    assert whole_rows([[f"{int(row[0]) // 1000}", *row[1:]] for row in ROWS], PLACES, MINUTE) is None


def test_of_different_lengths_are_left_to_be_read_one_by_one() -> None:
    assert whole_rows([*ROWS, ROWS[0][:-1]], PLACES, MINUTE) is None
    assert whole_rows([row[:8] for row in ROWS], PLACES, MINUTE) is None


def test_of_months_are_left_to_be_read_one_by_one() -> None:
    assert whole_rows(ROWS[:1], PLACES, INTERVALS["1M"]) is None


CELLS = st.sampled_from(["0", "1", "97000.10", "97100.5", "1e3", "nan", "", "-1", "0.0", str(T0), f"{T0}000", "1.5.1"])


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(COLUMNS), CELLS), max_size=2))
def test_are_never_other_than_one_by_one(changes: list[tuple[int, str, str]]) -> None:
    rows = [list(row) for row in ROWS]
    for number, name, text in changes:
        rows[number][PLACES[name]] = text
    one_by_one = list(dumps._one_by_one(enumerate(rows, 1), PLACES, MINUTE))
    assert whole_rows(rows, PLACES, MINUTE) in (None, one_by_one)
    found = list(klines_of([",".join(COLUMNS), *(",".join(row) for row in rows)], "1m"))
    assert found == [item._replace(line=item.line + 1) if isinstance(item, BadRow) else item for item in one_by_one]
