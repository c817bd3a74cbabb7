"""Klines from several origins become one list: ascending, each open time once, nothing invented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from gateway.history.merge import follows, unique, within
from tests.unit.history.stage import bar, bars, forming, numbers, open_ms

if TYPE_CHECKING:
    from gateway.model.kline import Kline


def test_unordered_bars_come_out_ascending() -> None:
    assert numbers(unique([bar(3), bar(1), bar(2)])) == [1, 2, 3]


def test_of_two_with_one_open_time_the_newer_event_wins_in_any_order() -> None:
    old, new = bar(1, event_time_ms=5, trades=90), bar(1, event_time_ms=6)
    assert unique([old, new]) == unique([new, old]) == [new]


def test_without_event_times_more_trades_win_then_more_volume() -> None:
    assert unique([bar(1, trades=8), bar(1, trades=9)])[0].trades == 9
    assert unique([bar(1, volume="10"), bar(1, volume="9.5")])[0].volume == "10"


def test_of_two_equal_klines_the_first_wins() -> None:
    first = bar(1)
    assert unique([first, bar(1)])[0] is first


def opens(*which: int) -> list[int]:
    return [kline.open_time_ms for kline in bars(*which)]


def test_a_forming_kline_follows_only_older_closed_ones() -> None:
    assert follows([], forming(0))
    assert follows(opens(1, 2), forming(5)), "even after a hole"
    assert not follows(opens(1, 3), forming(3))
    assert not follows(opens(1, 3), forming(2))
    assert not follows(opens(1, 3), None)


def test_both_ends_are_included() -> None:
    kline = bar(3)
    assert within(kline, None, None)
    assert within(kline, open_ms(3), open_ms(3))
    assert not within(kline, open_ms(3) + 1, None)
    assert not within(kline, None, open_ms(3) - 1)


some_bars = st.lists(st.builds(bar, st.integers(0, 9), event_time_ms=st.integers(0, 3), trades=st.integers(1, 3)))


@given(some_bars)
def test_the_result_ascends_strictly_and_contains_only_klines_that_went_in(klines: list[Kline]) -> None:
    result = unique(klines)
    open_times_ms = [kline.open_time_ms for kline in result]
    assert open_times_ms == sorted(set(open_times_ms))
    assert set(open_times_ms) == {kline.open_time_ms for kline in klines}
    assert set(result) <= set(klines)
