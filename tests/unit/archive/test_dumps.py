"""Klines in files of text: every form that they come in, and what is refused of them."""

from __future__ import annotations

import pytest

from gateway.archive.dumps import COLUMNS, BadRow, Unreadable, klines_of, rows_of, series_of
from tests.unit.archive.klines import T0, kline, run

LINES = [",".join(map(str, row)) for row in rows_of(run(0, 2))]
HEADING = ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("BTCUSDT-1m-2024-01.zip", ("BTCUSDT", "1m")),
        ("1000PEPEUSDT-1h-2024-01-31.csv", ("1000PEPEUSDT", "1h")),
        ("BTCUSDT-1mo-2024-01.zip", None),
        ("BTCUSDT-7m-2024-01.zip", None),
        ("klines.csv", None),
    ],
)
def test_a_dumps_name_says_which_series_it_is(name: str, series: tuple[str, str] | None) -> None:
    assert series_of(name) == series


@pytest.mark.parametrize("heading", [[], [HEADING]], ids=["without a heading", "with a heading"])
def test_the_rows_of_a_dump_are_klines_to_the_digit(heading: list[str]) -> None:
    assert list(klines_of([*heading, *LINES, ""], "1m")) == run(0, 2)


@pytest.mark.parametrize("lines", [[], [HEADING], ["", ""]])
def test_a_file_without_rows_has_no_klines(lines: list[str]) -> None:
    assert list(klines_of(lines, "1m")) == []


def test_times_in_microseconds_are_known_by_their_size() -> None:
    micro = [
        line.replace(str(T0 + number * 60_000), f"{T0 + number * 60_000}000", 1) for number, line in enumerate(LINES)
    ]
    assert list(klines_of(micro, "1m")) == run(0, 2)


def test_columns_of_other_names_and_places_are_found() -> None:
    lines = ["close,ts,o,h,l,vol", f"97000.10,{T0},97000.00,97100.50,96900.00,1.50000"]
    names = {"open_time": "ts", "open": "o", "high": "h", "low": "l", "volume": "vol"}
    assert list(klines_of(lines, "1m", names)) == [
        kline(0)._replace(quote_volume="0", trades=0, taker_volume="0", taker_quote_volume="0")
    ]


def test_a_heading_without_prices_cannot_be_read() -> None:
    with pytest.raises(Unreadable, match="no column low, close among open_time, open, high"):
        list(klines_of(["open_time,open,high", "1,2,3"], "1m"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINES[1].replace(str(T0 + 60_000), str(T0 + 60_001), 1), "is none of 1m"),
        (LINES[1].replace(str(T0 + 60_000), "soon", 1), "is none of 1m"),
        (LINES[1].replace("97100.50", "nan"), "high 'nan' is no decimal number"),
        (LINES[1].replace("97100.50", "96000.00"), "contradict each other"),
        (LINES[1].replace("96900.00", "0"), "contradict each other"),
        (LINES[1].replace(",43,", ",many,"), "invalid literal"),
        (LINES[1].partition(",97100")[0], "out of range"),
    ],
    ids=["not an open time", "no time", "no number", "high below open", "a price of 0", "no count", "too short"],
)
def test_a_line_that_is_no_kline_is_named_and_the_others_are_read(line: str, reason: str) -> None:
    found = list(klines_of([LINES[0], line, LINES[2]], "1m"))
    bad = found.pop(1)
    assert found == [kline(0), kline(2)]
    assert isinstance(bad, BadRow)
    assert bad.line == 2
    assert reason in bad.reason
