from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from kline_gateway_client.errors import GatewayError, MissedBars
from kline_gateway_client.queues import GIVE_UP_AFTER, LOOK_S, Closed, Latest
from kline_gateway_client.views import KlineView, Past, TickerView

from tests.unit.client.klines import CHANNEL, SYMBOL, bar, opens

if TYPE_CHECKING:
    from kline_gateway_client.values import Kline

NOW_S = 100.0


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


def priced(symbol: str, price: int) -> TickerView:
    view = TickerView(symbol)
    view.fold(Decimal(price))
    return view


def number(kline: Kline | None) -> int | None:
    return None if kline is None else (kline.open_time_ms - opens(0)) // 60_000


def taken(inbox: Closed) -> list[int | None]:
    found = []
    while (kline := inbox.take()) is not None:
        found.append(number(kline))
    return found


def missed(inbox: Closed) -> list[tuple[int, int]]:
    found = []
    for error in inbox.errors:
        assert isinstance(error, MissedBars)
        found.append(((error.after_ms - opens(0)) // 60_000, (error.before_ms - opens(0)) // 60_000))
    return found


def fill(inbox: Closed, *numbers: int, forming: int | None = None, luck: float = 0.0) -> None:
    place = inbox.behind()
    assert place is not None
    klines = [bar(number) for number in numbers]
    inbox.filled(place, klines if forming is None else [*klines, bar(forming, closed=False)], NOW_S, luck)


class TestLatest:
    def test_gives_the_newest_value_of_what_changed_first(self) -> None:
        notify = Counter()
        inbox = Latest(["ticker:A", "ticker:B", "ticker:A"], notify)
        one, other = priced("A", 1), priced("B", 1)
        inbox.changed("ticker:A", one)
        inbox.changed("ticker:B", other)
        one.fold(Decimal(2))
        inbox.changed("ticker:A", one)
        assert inbox.channels == ("ticker:A", "ticker:B")
        assert [inbox.take(), inbox.take(), inbox.take()] == [one.newest, other.newest, None]
        assert notify.calls == 3

    def test_a_value_that_is_not_known_is_no_news(self) -> None:
        inbox = Latest(["ticker:A"], Counter())
        inbox.changed("ticker:A", TickerView("A"))
        assert inbox.take() is None

    def test_has_no_place_to_go_on_from(self) -> None:
        inbox = Latest([CHANNEL], Counter())
        inbox.snapshot(CHANNEL, Past((bar(1),), None))
        inbox.closed(CHANNEL, bar(2))
        assert (inbox.cursor_ms(CHANNEL), inbox.take()) == (None, None)

    def test_a_failure_wakes_the_consumer(self) -> None:
        notify = Counter()
        inbox = Latest(["ticker:A"], notify)
        inbox.fail(GatewayError("no"))
        assert (len(inbox.errors), notify.calls) == (1, 1)


class TestClosed:
    def inbox(self, size: int = 3, first: int = 0, after: int | None = None) -> Closed:
        self.notify = Counter()
        return Closed(
            [SYMBOL], "1m", self.notify, size=size, first=first, after_ms=None if after is None else opens(after)
        )

    def test_begins_behind_the_snapshot(self) -> None:
        inbox = self.inbox()
        inbox.snapshot(CHANNEL, Past((bar(1), bar(2)), None))
        inbox.closed(CHANNEL, bar(3))
        assert (taken(inbox), inbox.cursor_ms(CHANNEL), inbox.behind()) == ([3], opens(3), None)
        assert self.notify.calls == 1

    def test_gives_each_bar_once_and_never_an_older_one(self) -> None:
        inbox = self.inbox()
        inbox.snapshot(CHANNEL, Past((), bar(3, closed=False)))
        for place in (3, 3, 5, 4, 6):
            inbox.closed(CHANNEL, bar(place))
        assert taken(inbox) == [3, 5, 6]

    def test_forming_bars_are_none_of_its_business(self) -> None:
        inbox = self.inbox()
        inbox.changed(CHANNEL, KlineView(SYMBOL, "1m", bar(1, closed=False)))
        assert inbox.take() is None

    def test_takes_what_a_later_snapshot_has_more(self) -> None:
        inbox = self.inbox()
        inbox.snapshot(CHANNEL, Past((bar(1),), None))
        inbox.snapshot(CHANNEL, Past((bar(0), bar(1), bar(2)), None))
        inbox.snapshot(CHANNEL, Past((bar(3),), None, opens(2)))
        assert taken(inbox) == [2, 3]

    def test_a_snapshot_that_leaves_a_hole_sends_it_to_history(self) -> None:
        inbox = self.inbox()
        inbox.snapshot(CHANNEL, Past((bar(1),), None))
        inbox.snapshot(CHANNEL, Past((bar(6),), None))
        assert (taken(inbox), inbox.cursor_ms(CHANNEL)) == ([], None)
        # What comes meanwhile waits in history, too.
        inbox.closed(CHANNEL, bar(7))
        inbox.snapshot(CHANNEL, Past((bar(7),), None))
        fill(inbox, 1, 2, 3, 4)
        assert taken(inbox) == [2, 3, 4]
        fill(inbox, 4, 5, 6, 7, forming=8)
        assert (taken(inbox), inbox.behind(), missed(inbox)) == ([5, 6, 7], None, [])
        inbox.closed(CHANNEL, bar(8))
        assert taken(inbox) == [8]

    def test_what_does_not_fit_is_read_again_when_there_is_room(self) -> None:
        inbox = self.inbox(size=2)
        inbox.snapshot(CHANNEL, Past((bar(0),), None))
        for place in range(1, 6):
            inbox.closed(CHANNEL, bar(place))
        assert (taken(inbox), inbox.behind() is not None) == ([1, 2], True)
        fill(inbox, 2, 3, 4, 5)
        assert taken(inbox) == [3, 4]
        fill(inbox, 4, 5)
        assert (taken(inbox), inbox.behind()) == ([5], None)

    def test_a_channel_whose_first_bar_does_not_fit_begins_with_it(self) -> None:
        inbox = Closed(["A", "B"], "1m", Counter(), size=1)
        inbox.closed("kline:A:1m", bar(1))
        inbox.closed("kline:B:1m", bar(1))
        place = inbox.behind()
        assert place is not None
        assert (place.channel, place.cursor_ms) == ("kline:B:1m", opens(0))

    def test_begins_with_the_newest_of_history(self) -> None:
        inbox = self.inbox(first=2)
        fill(inbox, 1, 2, 3, forming=4)
        assert (taken(inbox), inbox.behind()) == ([2, 3], None)

    def test_without_history_it_begins_with_what_comes(self) -> None:
        inbox = self.inbox(first=2)
        fill(inbox)
        assert inbox.behind() is None
        inbox.closed(CHANNEL, bar(5))
        assert taken(inbox) == [5]

    def test_goes_on_where_a_program_left_off(self) -> None:
        inbox = self.inbox(after=1)
        fill(inbox, 1, 2)
        assert (taken(inbox), missed(inbox)) == ([2], [])

    def test_says_what_history_no_longer_has(self) -> None:
        inbox = self.inbox(after=1)
        fill(inbox, 4, 5)
        assert (missed(inbox), taken(inbox)) == ([(1, 4)], [4, 5])

    @pytest.mark.parametrize("after", [1, 3], ids=["the bar itself", "the next one"])
    def test_history_that_reaches_back_to_the_cursor_has_no_hole(self, after: int) -> None:
        inbox = self.inbox(after=after)
        fill(inbox, *range(1 if after == 1 else 4, 6))
        assert missed(inbox) == []

    def test_looks_again_later_while_history_has_nothing_of_it(self) -> None:
        inbox = self.inbox(after=3)
        waits = []
        for _ in range(4):
            fill(inbox, luck=0.5)
            place = inbox.behind()
            assert place is not None
            waits.append(place.next_look_s - NOW_S)
        assert waits == [pytest.approx(LOOK_S + wait) for wait in (0.25, 0.5, 1.0, 2.0)]
        fill(inbox, 3, 4)
        assert (taken(inbox), inbox.behind()) == ([4], None)

    def test_never_gives_up_what_nobody_told_of(self) -> None:
        inbox = self.inbox(after=3)
        for _ in range(3 * GIVE_UP_AFTER):
            fill(inbox)
        assert (inbox.behind() is not None, missed(inbox)) == (True, [])

    @pytest.mark.parametrize(("after", "first"), [(3, 0), (None, 5)], ids=["from a cursor", "from nothing"])
    def test_gives_up_what_the_stream_told_of_and_history_never_has(self, after: int | None, first: int) -> None:
        inbox = self.inbox(after=after, first=first)
        inbox.closed(CHANNEL, bar(6))
        for _ in range(GIVE_UP_AFTER):
            assert missed(inbox) == []
            fill(inbox)
        assert (missed(inbox), inbox.behind()) == ([(5 if after is None else after, 7)], None)
        inbox.closed(CHANNEL, bar(7))
        assert taken(inbox) == [7]

    def test_an_outage_of_history_is_no_reason_to_give_up(self) -> None:
        inbox = self.inbox(after=3)
        inbox.closed(CHANNEL, bar(6))
        for _ in range(3 * GIVE_UP_AFTER):
            place = inbox.behind()
            assert place is not None
            inbox.look_later(place, NOW_S, 0.0)
        fill(inbox, 3, 4, 5, 6)
        assert (taken(inbox), missed(inbox)) == ([4, 5, 6], [])

    def test_a_refused_channel_is_not_looked_for(self) -> None:
        inbox = self.inbox(first=5)
        inbox.drop(CHANNEL)
        inbox.fail(GatewayError("no"))
        assert (inbox.behind(), len(inbox.errors), self.notify.calls) == (None, 1, 1)
