"""Which series are read again after a lost link, by what the collector states and what memory holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.market.reread import Reread, judge
from gateway.market.series import Series
from gateway.model.interval import INTERVALS
from tests.builders import MINUTE_MS, T0, closed_klines, kline

if TYPE_CHECKING:
    from collections.abc import Iterable

CLOSED_MS = T0 + 3 * MINUTE_MS
"""When the newest kline in memory, number 2, has closed."""


def series(numbers: Iterable[int] = (0, 1, 2)) -> Series:
    made = Series("BTCUSDT", INTERVALS["1m"], 4)
    made.reseed(closed_klines(numbers), T0)
    return made


def found(made: Series, last_closed_ms: int | None = CLOSED_MS - 1, now_ms: int = CLOSED_MS + 1) -> Reread:
    return judge(made, last_closed_ms, now_ms, stated=True)


@pytest.mark.parametrize("last_closed_ms", [CLOSED_MS - 1, CLOSED_MS], ids=["last ms", "first ms of the next"])
def test_a_series_is_skipped_that_has_what_the_collector_states(last_closed_ms: int) -> None:
    assert found(series(), last_closed_ms) is Reread.SKIP


@pytest.mark.parametrize(
    "last_closed_ms",
    [
        pytest.param(None, id="none"),
        pytest.param(CLOSED_MS + MINUTE_MS - 1, id="newer"),
        pytest.param(CLOSED_MS - MINUTE_MS - 1, id="older"),
        pytest.param(CLOSED_MS * 1000, id="of another unit"),
        pytest.param(1, id="of 1970"),
    ],
)
def test_any_other_statement_has_the_series_read(last_closed_ms: int | None) -> None:
    assert found(series(), last_closed_ms) is Reread.READ


def test_a_statement_is_not_trusted_once_a_later_kline_should_have_closed() -> None:
    assert found(series(), now_ms=CLOSED_MS + MINUTE_MS - 1) is Reread.SKIP
    assert found(series(), now_ms=CLOSED_MS + MINUTE_MS) is Reread.READ


def test_a_series_without_any_closed_kline_is_read() -> None:
    assert found(series(())) is Reread.READ


def test_a_series_is_read_that_lacks_a_kline_before_the_newest() -> None:
    assert found(series((0, 2))) is Reread.READ


def test_a_series_with_a_gap_is_read() -> None:
    made = series()
    made.gap = True
    assert found(made) is Reread.READ


def test_a_series_in_which_a_kline_waits_for_an_earlier_one_is_read() -> None:
    made = series()
    made.apply_kline(kline(3), T0)
    made.apply_kline(kline(4), T0)
    made.gap = False
    assert found(made) is Reread.READ


@pytest.mark.parametrize(
    ("last_closed_ms", "stated", "wanted"),
    [
        pytest.param(None, True, Reread.SKIP, id="the collector states only what it stores"),
        pytest.param(None, False, Reread.CHECK, id="the collector states nothing"),
        pytest.param(CLOSED_MS, True, Reread.CHECK, id="the collector has begun to store it"),
    ],
)
def test_a_derived_series_follows_its_source_unless_it_may_be_stored_now(
    last_closed_ms: int | None, stated: bool, wanted: Reread
) -> None:
    made = series()
    made.derived_from = "1s"
    assert judge(made, last_closed_ms, CLOSED_MS + 1, stated=stated) is wanted
    made.gap = True
    assert judge(made, last_closed_ms, CLOSED_MS + 1, stated=stated) is Reread.READ
