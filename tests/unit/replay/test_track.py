from __future__ import annotations

from typing import Any

from gateway.delivery.channel import View
from gateway.model.interval import INTERVALS
from gateway.replay.channels import ReplayKlines
from gateway.replay.track import Page, Track
from tests.builders import MINUTE_MS, T0, closed_klines, kline


def track(at_ms: int = T0) -> Track:
    return Track("AUSDT", INTERVALS["1m"], at_ms)


def walker() -> Any:
    return ReplayKlines(1, "kline:AUSDT:1m", View.NATIVE, "AUSDT", INTERVALS["1m"], None, derived=False)


def page(*numbers: int, is_last: bool = False) -> Page:
    return Page(closed_klines(numbers), T0 + (max(numbers) + 1) * MINUTE_MS, is_last)


def test_of_a_new_one_nothing_is_known_from_the_kline_of_its_time_on() -> None:
    found = track(T0 + 90_000)
    assert found.unknown_ms == T0 + MINUTE_MS
    assert (found.closes_ms, found.next_ms, found.is_used) == (None, None, False)
    assert found.walk(T0 + 90_000) is None


def test_klines_close_one_after_the_other() -> None:
    found = track()
    found.add(page(0, 1))
    assert found.closes_ms == found.next_ms == T0 + MINUTE_MS
    assert found.close() == kline(0, closed=True)
    assert found.close() == kline(1, closed=True)
    assert found.closes_ms is None


def test_its_horizon_is_where_an_unknown_kline_may_close_or_begin_to_walk() -> None:
    found = track()
    found.add(page(0))
    assert found.horizon_ms == T0 + 2 * MINUTE_MS - 1
    found.walking.append(walker())
    assert found.horizon_ms == T0 + MINUTE_MS - 1
    # A kline that has not closed yet cannot walk.
    found.add(Page((), T0 + MINUTE_MS, is_last=True))
    assert found.horizon_ms == T0 + 2 * MINUTE_MS - 1


def test_pages_follow_each_other() -> None:
    found = track()
    found.add(page(0))
    found.add(Page((), T0 + 2 * MINUTE_MS, is_last=True))
    assert found.at_end
    found.add(page(2))
    assert [one.open_time_ms for one in found.klines] == [T0, T0 + 2 * MINUTE_MS]


def test_the_first_kline_walks_and_then_the_next_one() -> None:
    found = track()
    found.walking.append(walker())
    found.add(page(0, 1))
    seen = []
    for _ in range(4):
        assert found.next_ms is not None
        state = found.walk(found.next_ms)
        assert state is not None
        seen.append(((state.event_time_ms - T0) // 1000, state.close))
    assert seen == [(0, "100"), (15, "90"), (30, "110"), (45, "105")]
    assert found.next_ms == found.closes_ms == T0 + MINUTE_MS
    found.close()
    assert found.next_ms == T0 + MINUTE_MS, "the next one opens at the same moment"


def test_who_comes_in_the_middle_sees_the_state_of_that_moment() -> None:
    found = track(T0 + 31_000)
    found.add(page(0))
    state = found.walk(T0 + 31_000)
    assert state is not None
    assert (state.high, state.low, state.close) == ("110", "90", "110")


def test_a_kline_that_opens_later_has_no_state() -> None:
    found = track()
    found.add(page(5))
    assert found.walk(T0) is None


def test_it_is_used_while_any_channel_is_made_of_it() -> None:
    found = track()
    for channels in (found.closing, found.forming, found.tickers):
        channels.append(walker())
        assert found.is_used
        channels.clear()
    assert not found.is_used
