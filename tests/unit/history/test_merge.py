"""Stored, in-memory and forming klines become one list: ascending, each open time once, nothing invented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from gateway.history.merge import follows, stitch, unique, within
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


def test_memory_beats_stored_when_its_event_is_newer_and_when_they_are_equal() -> None:
    stored, live = bar(1, close="1.0"), bar(1, close="2.0", event_time_ms=9)
    assert stitch([stored], [live], None) == [live]
    same = bar(1)
    assert stitch([bar(1)], [same], None)[0] is same


def test_stored_beats_memory_when_its_event_is_newer() -> None:
    corrected = bar(1, close="2.0", event_time_ms=9)
    assert stitch([corrected], [bar(1, event_time_ms=8)], None) == [corrected]


def test_a_closed_kline_beats_the_forming_one_of_the_same_open_time() -> None:
    assert stitch([bar(1)], [], forming(1)) == [bar(1)]
    assert stitch([], [bar(1)], forming(1)) == [bar(1)]


def test_a_forming_bar_older_than_a_closed_one_has_nothing_to_say() -> None:
    assert numbers(stitch(bars(1, 3), [], forming(2))) == [1, 2, 3]


def test_the_forming_bar_comes_last_even_after_a_hole() -> None:
    assert numbers(stitch(bars(1, 2), [], forming(5))) == [1, 2, 5]


def test_a_forming_bar_alone_is_the_list() -> None:
    assert stitch([], [], forming(0)) == [forming(0)]
    assert follows([], forming(0))
    assert not follows([], None)


def test_both_ends_are_included() -> None:
    kline = bar(3)
    assert within(kline, None, None)
    assert within(kline, open_ms(3), open_ms(3))
    assert not within(kline, open_ms(3) + 1, None)
    assert not within(kline, None, open_ms(3) - 1)


some_bars = st.lists(st.builds(bar, st.integers(0, 9), event_time_ms=st.integers(0, 3), trades=st.integers(1, 3)))


@given(some_bars, some_bars, st.none() | st.builds(forming, st.integers(0, 12)))
def test_every_list_ascends_strictly_and_holds_nothing_but_what_went_in(
    stored: list[Kline], memory: list[Kline], last: Kline | None
) -> None:
    result = stitch(stored, memory, last)
    opens = [kline.open_time_ms for kline in result]
    assert opens == sorted(set(opens))
    assert {kline.open_time_ms for kline in (*stored, *memory)} <= set(opens)
    assert set(result) <= {*stored, *memory, last}
    assert all(kline.closed for kline in result[:-1])
