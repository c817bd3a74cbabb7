"""What follows from the rows that ccxt holds of a series."""

from __future__ import annotations

from collector.ccxt_pro.rows import Rows
from gateway.model.interval import INTERVALS

MINUTE_MS = 60_000
T0 = 1_732_310_040_000


def row(number: int, close: str) -> list[object]:
    return [T0 + number * MINUTE_MS, "1", "9", "1", close, "5"]


def seen(rows: Rows, values: list[list[object]], connection: int = 1) -> list[tuple[int, str, bool]]:
    klines = rows.read(values, connection, T0)
    return [((kline.open_time_ms - T0) // MINUTE_MS, kline.close, kline.closed) for kline in klines]


def final() -> Rows:
    return Rows(INTERVALS["1m"], sends_final=True)


def test_a_row_is_passed_on_when_it_changes() -> None:
    rows = final()
    assert seen(rows, [row(0, "2")]) == [(0, "2", False)]
    assert seen(rows, [row(0, "2")]) == []
    assert seen(rows, [row(0, "3")]) == [(0, "3", False)]


def test_a_newer_row_closes_the_one_before_with_its_last_state() -> None:
    rows = final()
    seen(rows, [row(0, "2")])
    assert seen(rows, [row(0, "4"), row(1, "5")]) == [(0, "4", False), (0, "4", True), (1, "5", False)]


def test_a_newer_row_closes_the_last_one_that_was_traded() -> None:
    rows = final()
    seen(rows, [row(0, "2")])
    assert seen(rows, [row(0, "2"), row(3, "5")]) == [(0, "2", True), (3, "5", False)]


def test_nothing_is_closed_across_a_lost_connection() -> None:
    rows = final()
    seen(rows, [row(0, "2")], connection=1)
    assert seen(rows, [row(0, "2"), row(1, "5")], connection=2) == [(1, "5", False)]
    assert seen(rows, [row(1, "5"), row(2, "6")], connection=2) == [(1, "5", True), (2, "6", False)]


def test_nothing_is_closed_where_the_last_state_is_not_sent() -> None:
    rows = Rows(INTERVALS["1m"], sends_final=False)
    seen(rows, [row(0, "2")])
    assert seen(rows, [row(0, "2"), row(1, "5")]) == [(1, "5", False)]


def test_an_older_row_is_left_alone() -> None:
    rows = final()
    seen(rows, [row(1, "2")])
    assert seen(rows, [row(0, "7")]) == []


def test_what_is_no_kline_is_counted() -> None:
    rows = final()
    assert seen(rows, [[T0 + 1, "1", "1", "1", "1", "1"]]) == []
    assert rows.refused == 1
