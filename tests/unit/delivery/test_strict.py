"""Which strict channels wait, and which sessions must not be sent all of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import Joined, KlineChannel, StrictKlineChannel, View
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState, Staleness, StaleReason, SymbolStates
from gateway.delivery.strict import StrictSessions
from gateway.delivery.subscription_set import SubscriptionSets
from tests.builders import MINUTE_MS, T0, kline, kline_update
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import LOG, STYLE, SampleMarket, number_of

if TYPE_CHECKING:
    from gateway.market.series import Series

WAIT_MS = 10_000


class Rig:
    """Kline 0 is shown. `late_ms`: how far the source is behind the market's time."""

    def __init__(self, late_ms: int = 0) -> None:
        self.samples = SampleMarket()
        self.market = self.samples.market
        self.strict = StrictSessions(WAIT_MS)
        self.late_ms = late_ms
        self.series: Series = self.market.get_or_create("AAAUSDT").series["1m"]
        self.forms(0)
        self.channel = StrictKlineChannel(0, "aaausdt@kline_1m", self.series, LOG)
        self.channel.subscribers = 1
        self.session = Session(FakeSocket(), STYLE)
        self.session.begin(SubscriptionSets().of([self.channel]), 0)
        self.session.mark_for_resync(0, 0)
        self.left: list[Session] = []

    def forms(self, number: int) -> None:
        self.market.apply(kline_update(kline(number), "AAAUSDT"), T0 + number * MINUTE_MS + 1000 + self.late_ms)

    def goes_on(self) -> None:
        """The source goes on without closing kline 0, and so does the series."""
        self.forms(1)
        self.market.advance(T0 + 10 * MINUTE_MS)
        self.refresh()

    def refresh(self) -> None:
        self.channel.refresh()
        self.strict.note_refreshed(self.channel, [self.session], self.left.append)

    def join(self, minute: float, *, unread: bool = False) -> None:
        self.strict.join(self.channel, self.session, T0 + round(minute * MINUTE_MS), unread=unread)

    def advance(self, now_ms: int, *being_read: Series) -> list[StrictKlineChannel]:
        self.strict.advance(now_ms, being_read)
        return self.strict.take_due()

    @property
    def joined(self) -> list[Joined]:
        return list(self.strict._joined.get(self.channel, {}).values())


@pytest.fixture
def rig() -> Rig:
    return Rig()


class TestWaiting:
    def test_a_channel_goes_on_when_it_has_waited_long_enough(self, rig: Rig) -> None:
        rig.goes_on()
        assert rig.advance(1000) == []
        assert rig.advance(1000 + WAIT_MS - 1) == []
        assert not rig.channel.go_on
        assert rig.advance(1000 + WAIT_MS) == [rig.channel]
        rig.refresh()
        assert rig.channel.value is not None
        assert number_of(rig.channel.value) == 1
        assert rig.advance(1000 + 2 * WAIT_MS) == []

    def test_more_of_the_kline_that_waits_does_not_prolong_the_wait(self, rig: Rig) -> None:
        rig.goes_on()
        rig.advance(1000)
        rig.refresh()
        assert rig.advance(1000 + WAIT_MS) == [rig.channel]

    def test_no_channel_goes_on_while_the_store_is_read_for_it(self, rig: Rig) -> None:
        rig.goes_on()
        rig.advance(1000)
        assert rig.advance(1000 + WAIT_MS, rig.series) == []
        assert rig.advance(1000 + WAIT_MS) == [rig.channel]

    def test_the_wait_begins_anew_for_another_kline(self, rig: Rig) -> None:
        rig.goes_on()
        rig.advance(1000)
        rig.samples.closes(0)
        rig.samples.forms(2)
        rig.market.advance(T0 + 20 * MINUTE_MS)
        rig.market.advance(T0 + 30 * MINUTE_MS)
        rig.refresh()
        assert rig.channel.waits_for_ms == T0 + MINUTE_MS
        assert rig.advance(1000 + WAIT_MS) == []
        assert rig.advance(1000 + 2 * WAIT_MS) == [rig.channel]

    def test_a_channel_without_subscribers_waits_for_nothing(self, rig: Rig) -> None:
        rig.goes_on()
        rig.advance(1000)
        rig.channel.subscribers = 0
        assert rig.advance(1000 + WAIT_MS) == []
        rig.channel.subscribers = 1
        assert rig.advance(1000 + WAIT_MS) == []


class TestJoined:
    def test_a_session_that_joins_in_the_middle_of_a_kline_is_not_noted(self, rig: Rig) -> None:
        rig.join(0.5)
        assert rig.joined == []
        rig.strict.leave(rig.channel, rig.session)

    def test_a_session_that_joins_before_a_kline_has_closed_late_is_noted_until_it_leaves(self, rig: Rig) -> None:
        rig.join(1.01)
        assert len(rig.joined) == 1
        rig.strict.leave(rig.channel, Session(FakeSocket(), STYLE))
        rig.strict.note_feed_state(FeedState(StaleReason.BACKFILLING), FeedState())
        assert len(rig.joined) == 1
        rig.strict.leave(rig.channel, rig.session)
        assert rig.joined == []

    def test_what_the_store_was_read_for_is_the_past_of_who_joined_a_replay(self) -> None:
        rig = Rig(late_ms=1000 * MINUTE_MS)
        rig.join(1000.5, unread=True)
        rig.samples.stores([0, 1])
        rig.channel.refresh()
        rig.strict.note_feed_state(FeedState(StaleReason.BACKFILLING), FeedState())
        (joined,) = rig.joined
        assert (joined.read_ms, joined.unread) == (T0 + 2 * MINUTE_MS, False)
        assert rig.channel.first_offset(joined) == rig.channel.closed_end

    def test_a_session_waits_for_the_read_of_its_own_symbol(self, rig: Rig) -> None:
        rig.join(1.5, unread=True)
        unread = Staleness(StaleReason.BACKFILLING, 5)
        others_read = FeedState(symbols={"AAAUSDT": SymbolStates(Staleness(), unread)})
        rig.strict.note_feed_state(FeedState(StaleReason.BACKFILLING), others_read)
        assert [joined.unread for joined in rig.joined] == [True]
        rig.strict.note_feed_state(others_read, FeedState())
        assert [joined.unread for joined in rig.joined] == [False]

    def test_a_channel_is_refreshed_once_the_past_of_a_session_is_known(self, rig: Rig) -> None:
        rig.join(1.5, unread=True)
        rig.strict.note_feed_state(FeedState(StaleReason.BACKFILLING), FeedState())
        assert rig.advance(0) == [rig.channel]
        assert rig.advance(0) == []

    def test_what_closes_while_the_store_is_away_is_not_the_past_of_who_waits_for_it(self, rig: Rig) -> None:
        rig.join(1.5, unread=True)
        for number in range(3):
            rig.samples.closes(number)
        rig.channel.refresh()
        rig.strict.note_feed_state(FeedState(StaleReason.BACKFILLING), FeedState())
        (joined,) = rig.joined
        assert (joined.reached_ms, joined.unread) == (T0, False)
        assert rig.channel.first_offset(joined) == rig.channel.closed_end - 2


class TestCorrectedTime:
    HOUR_MS = 60 * MINUTE_MS

    def correct(self, rig: Rig, change_ms: int) -> list[Session]:
        native = KlineChannel(1, "kline:AAAUSDT:1m", View.NATIVE, rig.series, rig.series.closed)
        rig.strict.correct_time(change_ms, [native, rig.channel], [rig.session])
        return rig.strict.take_to_end(10)

    @pytest.mark.parametrize("change_ms", [HOUR_MS, -HOUR_MS], ids=["later", "earlier"])
    def test_a_session_that_is_noted_has_joined_so_much_later(self, rig: Rig, change_ms: int) -> None:
        rig.join(1.01)
        (before,) = rig.joined
        assert self.correct(rig, change_ms) == []
        assert rig.joined == [before._replace(at_ms=before.at_ms + change_ms)]

    def test_one_that_is_noted_no_more_has_to_read_klines_again(self, rig: Rig) -> None:
        rig.join(0.5)
        assert self.correct(rig, -self.HOUR_MS) == []
        assert self.correct(rig, self.HOUR_MS) == [rig.session]

    def test_a_channel_that_nobody_follows_ends_nobody(self, rig: Rig) -> None:
        rig.channel.subscribers = 0
        assert self.correct(rig, self.HOUR_MS) == []


def test_other_channels_are_passed_over(rig: Rig) -> None:
    native = KlineChannel(1, "kline:AAAUSDT:1m", View.NATIVE, rig.series, rig.series.closed)
    rig.strict.join(native, rig.session, 0, unread=True)
    rig.strict.note_refreshed(native, [rig.session], rig.left.append)
    rig.strict.leave(native, rig.session)
    assert rig.left == []


def test_only_the_end_of_a_read_settles_what_is_the_past(rig: Rig) -> None:
    rig.join(1.5, unread=True)
    live, unread = FeedState(), FeedState(StaleReason.BACKFILLING)
    for before, after in ((live, unread), (unread, unread), (live, live)):
        rig.strict.note_feed_state(before, after)
    assert [joined.unread for joined in rig.joined] == [True]


class TestEnded:
    """Who lacks a closed kline is ended, so that it reads it when it connects again."""

    def lacks(self, rig: Rig) -> None:
        """Kline 0 closes after the channel has gone on without it."""
        rig.goes_on()
        rig.channel.go_on = True
        rig.refresh()
        rig.samples.closes(0)
        rig.refresh()

    def test_those_that_follow_the_channel_a_few_at_a_time(self, rig: Rig) -> None:
        self.lacks(rig)
        other = Session(FakeSocket(), STYLE)
        other.begin(SubscriptionSets().of([rig.channel]), 0)
        rig.strict.mark_to_end(rig.channel, [rig.session, other])
        assert rig.strict.take_to_end(1) == [rig.session]
        assert rig.strict.take_to_end(5) == [other]
        assert rig.strict.take_to_end(5) == []

    def test_not_one_that_does_not_follow_it_or_has_ended(self, rig: Rig) -> None:
        stranger = Session(FakeSocket(), STYLE)
        stranger.begin(SubscriptionSets().of(()), 0)
        rig.strict.mark_to_end(rig.channel, [rig.session, stranger])
        rig.strict.remove(rig.session)
        assert rig.strict.take_to_end(5) == []


def test_a_noted_session_leaves_its_cohort_at_each_value_until_its_past_is_over(rig: Rig) -> None:
    rig.join(1.01)
    rig.refresh()
    assert rig.left == [rig.session]
    rig.samples.closes(0)
    rig.samples.closes(1)
    rig.forms(2)
    rig.refresh()
    assert rig.joined == []
