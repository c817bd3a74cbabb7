"""Klines in files of text: Binance's public dumps, and CSV with a heading of one's own. Pure.

Binance's dumps (https://github.com/binance/binance-public-data) have a row of twelve columns for each kline, the same
as its REST API; those of USD-M futures have a heading, those of spot have none; spot files have times in microseconds
since 2025. The file's name says which series it is: `BTCUSDT-1m-2024-01.csv`.
"""

from __future__ import annotations

import csv
import re
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from gateway.archive.dump_rows import DIGITS_MAX, MS_DIGITS, TEXTS, whole_rows
from gateway.model.interval import INTERVALS
from gateway.model.kline import Kline
from gateway.model.timestamps import time_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gateway.model.interval import Interval

_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9._-]+)-(?P<interval>[0-9]+[a-zA-Z])-[0-9]{4}-[0-9]{2}(-[0-9]{2})?\.(zip|csv|parquet)"
)

COLUMNS = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count"),
    *("taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
"""The columns of a dump, in order."""

_NEEDED = ("open_time", "open", "high", "low", "close")
_is_decimal = re.compile(rf"[0-9]{{1,{DIGITS_MAX}}}(?:\.[0-9]{{1,{DIGITS_MAX}}})?").fullmatch

ROWS = 2000
"""Rows that are read at once; one that is odd makes so many slower."""


class BadRow(NamedTuple):
    """A line that is no kline."""

    line: int
    reason: str


class Unreadable(ValueError):
    """A file of which nothing can be read; the message says why."""


def series_of(name: str) -> tuple[str, str] | None:
    """Symbol and interval that a dump's file name says; `None` for another file."""
    found = _NAME.fullmatch(name)
    if found is None or found["interval"] not in INTERVALS:
        return None
    return found["symbol"], found["interval"]


def klines_of(
    lines: Iterable[str], interval: str, columns: Mapping[str, str] | None = None
) -> Iterator[Kline | BadRow]:
    """The klines of a file, in its order; lines that are none as `BadRow`.

    `columns`: for a heading with other names than those of a dump: ours -> the file's. Raises `Unreadable`.
    """
    rows: Iterator[tuple[int, list[str]]] = enumerate(csv.reader(lines), 1)
    known = INTERVALS[interval]
    first = next(((number, row) for number, row in rows if row), None)
    if first is None:
        return
    if first[1][0].isdecimal() and not columns:
        rows = chain([first], rows)
        places = {name: place for place, name in enumerate(COLUMNS)}
    else:
        places = places_of(first[1], columns or {})
    while some := list(islice(rows, ROWS)):
        yield from klines_of_rows(some, places, known)


def klines_of_rows(
    rows: Sequence[tuple[int, list[str]]], places: Mapping[str, int], interval: Interval
) -> Iterable[Kline | BadRow]:
    """The klines of numbered rows. `places`: which column is which."""
    whole = whole_rows([row for _, row in rows], places, interval)
    return whole if whole is not None else _one_by_one(rows, places, interval)


def _one_by_one(
    rows: Iterable[tuple[int, list[str]]], places: Mapping[str, int], interval: Interval
) -> Iterator[Kline | BadRow]:
    for number, row in rows:
        if row:
            try:
                yield _kline(row, places, interval)
            except (ValueError, IndexError) as error:
                yield BadRow(number, str(error) or "columns are missing")


def places_of(names: Iterable[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Where each column is, by a heading; `columns`: ours -> the heading's. Raises `Unreadable`."""
    heading = {name.strip(): place for place, name in enumerate(names)}
    places = {name: heading[columns.get(name, name)] for name in COLUMNS if columns.get(name, name) in heading}
    if missing := [columns.get(name, name) for name in _NEEDED if name not in places]:
        raise Unreadable(f"no column {', '.join(missing)} among {', '.join(heading)}")
    return places


def _kline(row: list[str], places: Mapping[str, int], interval: Interval) -> Kline:
    written = row[places["open_time"]]
    # Nearly all files have milliseconds: those need no look at the unit.
    opened_ms = int(written) if len(written) == MS_DIGITS and written.isdecimal() else time_of(written)
    if opened_ms is None or interval.open_time(opened_ms) != opened_ms:
        raise ValueError(f"open time {written!r} is none of {interval.name}")
    texts = [row[places[name]] if name in places else "0" for name in TEXTS]
    if not all(map(_is_decimal, texts)):
        name, text = next(pair for pair in zip(TEXTS, texts, strict=True) if not _is_decimal(pair[1]))
        raise ValueError(f"{name} {text!r} is no decimal number")
    open_, high, low, close, volume, quote_volume, taker, taker_quote = texts
    # Floats keep the order of decimals, or make equal what is nearly equal.
    lowest, highest = float(low), float(high)
    if not (0 < lowest <= float(open_) <= highest and lowest <= float(close) <= highest):
        raise ValueError(f"prices contradict each other: o={open_} h={high} l={low} c={close}")
    trades = int(row[places["count"]]) if "count" in places else 0
    closed_ms = interval.close_time(opened_ms)
    prices = opened_ms, closed_ms, open_, high, low, close
    return Kline(*prices, volume, quote_volume, trades, taker, taker_quote, closed=True)


def rows_of(klines: Iterable[Kline]) -> Iterator[tuple[str | int, ...]]:
    """Klines as the rows of a dump, without a heading."""
    for kline in klines:
        yield (
            *(kline.open_time_ms, kline.open, kline.high, kline.low, kline.close, kline.volume, kline.close_time_ms),
            *(kline.quote_volume, kline.trades, kline.taker_volume, kline.taker_quote_volume, 0),
        )
