from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import Lane
from gateway.delivery.feed_state import FeedState, StaleReason
from gateway.delivery.hub import Hub
from gateway.delivery.member import Member
from gateway.delivery.subscription_set import SubscriptionSets
from gateway.delivery.tier import Tier
from tests.unit.delivery.stage import CLOSED_ONLY, LOG, STYLE, Stage

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel
    from gateway.delivery.dialect import Style

LIVE = FeedState()


class Row:
    """One tier over the channels of a stage, without a hub in between: `hub` only makes channels."""

    def __init__(self, period_flushes: int = 1) -> None:
        self.stage = Stage()
        hub: Hub[Member] = Hub(self.stage.market)
        self.channels = hub.channels
        self.ticker = hub.ticker_channel("AAAUSDT")
        self.kline = hub.kline_channel("AAAUSDT", "1m")
        self.tier: Tier[Member] = Tier(period_flushes)
        self.watchlists = SubscriptionSets()
        for channel in self.channels:
            self.tier.forget(channel)

    def member(self, *channels: Channel, style: Style = STYLE) -> Member:
        """A session that is in step since tick 0."""
        member = Member(style)
        member.subscription_set = self.watchlists.of(channels or self.channels)
        self.tier.admit(member, self.channels)
        self.tier.join(member, LIVE, 0)
        return member

    def publish(self, *channels: Channel) -> None:
        for channel in channels or self.channels:
            channel.refresh()
        self.tier.mark(channels or self.channels)

    def beat(self, tick: int, *held: Lane) -> None:
        self.tier.beat(tick, len(self.channels), frozenset(held))

    def sheet(self, style: Style = STYLE) -> list[bytes]:
        """What is said of the ticker (0) and of the kline (1) at this beat."""
        return self.tier.fragment_tables[style]


@pytest.fixture
def row() -> Row:
    return Row()


def test_a_tier_is_due_every_so_many_ticks() -> None:
    assert [tick for tick in range(9) if Row(4).tier.is_due(tick)] == [0, 4, 8]


def test_a_beat_says_what_changed_since_the_beat_before(row: Row) -> None:
    row.member()
    row.stage.price("5")
    row.publish(row.ticker)
    row.beat(1)
    assert row.sheet()[0] == b" t0:*>5"
    row.stage.price("6")
    row.publish(row.ticker)
    row.stage.price("7")
    row.publish(row.ticker)
    row.beat(2)
    assert row.sheet()[0] == b" t0:5>7"
    row.beat(3)
    assert row.sheet() == [b"", b""]


def test_a_bar_closes_before_the_next_one_is_spoken_of(row: Row) -> None:
    row.member(row.kline)
    row.stage.forms(0, "101")
    row.publish(row.kline)
    row.beat(1)
    row.stage.closes(0)
    row.stage.closes(1)
    row.stage.forms(2, "103")
    row.publish(row.kline)
    row.beat(2)
    assert row.sheet()[1] == b" c1:0 c1:1 k1:101>103"


def test_who_wants_closed_klines_only_gets_nothing_else(row: Row) -> None:
    row.member(style=CLOSED_ONLY)
    row.stage.price("5")
    row.stage.forms(0)
    row.publish()
    row.beat(1)
    assert row.sheet(CLOSED_ONLY) == [b"", b""]
    row.stage.closes(0)
    row.publish()
    row.beat(2)
    assert row.sheet(CLOSED_ONLY) == [b"", b" c1:0"]


def test_sheets_are_kept_for_the_styles_in_use(row: Row) -> None:
    first, second = row.member(), row.member(row.kline)
    other = row.member(style=CLOSED_ONLY)
    assert row.tier.fragment_tables.keys() == {STYLE, CLOSED_ONLY}
    row.tier.leave(other)
    row.tier.leave(first)
    assert row.tier.fragment_tables.keys() == {STYLE}
    row.tier.leave(second)
    assert row.tier.fragment_tables == {}


def test_an_empty_tier_collects_nothing(row: Row) -> None:
    row.stage.price("5")
    row.publish(row.ticker)
    row.member()
    row.beat(1)
    assert row.sheet() == [b"", b""]


def test_a_tier_that_was_empty_has_forgotten_what_it_sent(row: Row) -> None:
    member = row.member()
    row.stage.price("5")
    row.publish(row.ticker)
    row.beat(1)
    row.tier.leave(member)
    row.member()
    row.stage.price("6")
    row.publish(row.ticker)
    row.beat(2)
    assert row.sheet()[0] == b" t0:*>6"


def test_somebody_behind_keeps_the_tier_from_forgetting(row: Row) -> None:
    row.tier.admit(Member(STYLE), row.channels)
    row.stage.price("5")
    row.publish(row.ticker)
    row.beat(1)
    row.member()
    row.stage.price("6")
    row.publish(row.ticker)
    row.beat(2)
    assert row.sheet()[0] == b" t0:5>6"


class TestHeldLanes:
    def test_news_of_a_held_lane_waits_for_a_later_beat(self, row: Row) -> None:
        row.member()
        row.stage.price("5")
        row.stage.forms(0, "101")
        row.publish()
        row.beat(1, Lane.TICKER)
        assert row.sheet() == [b"", b" k1:*>101"]
        row.beat(2)
        assert row.sheet() == [b" t0:*>5", b""]

    def test_a_closed_kline_never_waits(self, row: Row) -> None:
        row.member()
        row.stage.price("5")
        row.stage.closes(0)
        row.publish()
        row.beat(1, Lane.TICKER, Lane.KLINE)
        assert row.sheet() == [b"", b" c1:0"]

    def test_a_forming_bar_does_wait(self, row: Row) -> None:
        row.member()
        row.stage.forms(0, "101")
        row.publish()
        row.beat(1, Lane.KLINE)
        assert row.sheet() == [b"", b""]


class TestOverrun:
    def test_is_a_channel_of_which_more_closed_than_its_log_holds(self, row: Row) -> None:
        row.member()
        row.stage.stores(range(LOG))
        row.publish()
        assert row.tier.overrun() == []
        row.stage.stores(range(LOG + 1))
        row.publish()
        assert row.tier.overrun() == [row.kline]

    def test_is_over_once_it_is_skipped(self, row: Row) -> None:
        row.member()
        row.stage.stores(range(LOG + 1))
        row.publish()
        row.tier.skip(row.kline)
        assert row.tier.overrun() == []
        row.beat(1)
        assert row.sheet()[1] == b""

    def test_does_not_concern_those_who_take_no_corrections(self, row: Row) -> None:
        hub: Hub[Member] = Hub(row.stage.market, LOG)
        strict = hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
        row.tier.forget(strict)
        row.channels[:] = [strict]
        row.member(strict)
        for bar in range(LOG + 2):
            row.stage.closes(bar)
            strict.refresh()
        row.tier.mark([strict])
        assert row.tier.overrun() == []
        row.beat(1)
        assert row.sheet()[0] == b" c0:2 c0:3 c0:4 c0:5"


class TestStanding:
    """A row whose member has joined before beat 3, and whose kline 0 has closed before beat 4."""

    @pytest.fixture
    def member(self, row: Row) -> Member:
        member = row.member()
        row.beat(3)
        row.tier.reached = 1
        row.stage.closes(0)
        row.publish()
        row.beat(4)
        return member

    @staticmethod
    def standing(row: Row, member: Member) -> tuple[int, dict[int, int], FeedState]:
        assert member.cohort is not None
        return row.tier.standing(member, member.cohort)

    def test_once_the_beat_has_reached_a_session_it_is_that_beat_and_the_places_then(
        self, row: Row, member: Member
    ) -> None:
        row.tier.reached = 1
        assert self.standing(row, member) == (4, {1: 1}, LIVE)

    def test_before_that_it_is_the_beat_before(self, row: Row, member: Member) -> None:
        assert self.standing(row, member) == (3, {1: 0}, LIVE)

    def test_whom_its_cohorts_frame_has_not_reached_knows_the_state_before(self, row: Row, member: Member) -> None:
        assert member.cohort is not None
        before, member.cohort.feed_state = member.cohort.feed_state, FeedState(StaleReason.DISCONNECTED, 1)
        assert self.standing(row, member)[2] is member.cohort.feed_state
        member.cohort.framed_at_flush = 4
        assert self.standing(row, member)[2] is before

    def test_who_has_joined_since_the_beat_began_has_been_served_by_other_means(self, row: Row, member: Member) -> None:
        newcomer = row.member()
        assert self.standing(row, newcomer)[0] == 4


class TestRoster:
    def test_it_holds_those_in_step_in_order_as_of_the_beat(self, row: Row) -> None:
        members = [row.member() for _ in range(3)]
        for member, order in zip(members, (7, 9, 8), strict=True):
            member.order = order
        assert row.tier.members == []
        row.beat(1)
        assert [member.order for member in row.tier.members] == [7, 8, 9]
        assert [member.place for member in row.tier.members] == [0, 1, 2]

    def test_it_stays_as_it_is_until_the_next_beat(self, row: Row) -> None:
        stays, leaves = row.member(), row.member()
        row.beat(1)
        members = row.tier.members
        row.tier.leave(leaves)
        joins = row.member()
        assert set(members) == {stays, leaves}
        row.beat(2)
        assert set(row.tier.members) == {stays, joins}
        assert set(members) == {stays, leaves}

    def test_it_is_the_same_one_while_nobody_comes_or_goes(self, row: Row) -> None:
        row.member()
        row.beat(1)
        members = row.tier.members
        row.beat(2)
        assert row.tier.members is members


class TestCohorts:
    def test_equal_sessions_share_a_cohort(self, row: Row) -> None:
        one, two = row.member(row.kline), row.member(row.kline)
        other, styled = row.member(), row.member(row.kline, style=CLOSED_ONLY)
        assert one.cohort is two.cohort
        assert len({one.cohort, other.cohort, styled.cohort}) == 3
        assert len(row.tier.sessions()) == 4

    def test_joining_drops_what_only_those_behind_keep(self, row: Row) -> None:
        member = Member(STYLE)
        member.subscription_set = row.watchlists.of(row.channels)
        row.tier.admit(member, row.channels)
        assert row.tier.sessions() == [member]
        member.log_offsets = {1: 0}
        row.tier.join(member, LIVE, 3)
        assert member.log_offsets == {}
        assert not row.tier.behind
        assert member.cohort is not None
        assert (member.cohort.feed_state, member.cohort.framed_at_flush) == (LIVE, 3)

    @pytest.mark.parametrize("leaves", [0, 1, 2])
    def test_whoever_leaves_the_others_keep_their_cohort(self, row: Row, leaves: int) -> None:
        members = [row.member() for _ in range(3)]
        gone = members.pop(leaves)
        row.tier.leave(gone)
        assert gone.cohort is None
        assert set(row.tier.sessions()) == set(members)
        for member in members:
            assert member.cohort is not None
            assert member.cohort.size == 2

    def test_the_last_one_takes_the_cohort_along(self, row: Row) -> None:
        member = row.member()
        row.tier.leave(member)
        assert row.tier.cohorts == {}

    def test_leaving_twice_is_no_error(self, row: Row) -> None:
        member = row.member()
        row.tier.leave(member)
        row.tier.leave(member)
        assert row.tier.sessions() == []


def test_channels_made_later_fit_in(row: Row) -> None:
    row.member()
    row.beat(1)
    hub: Hub[Member] = Hub(row.stage.market)
    for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT"):
        made = hub.ticker_channel(symbol)
    row.channels.append(made)
    row.tier.forget(made)
    row.stage.price("8", "CCCUSDT")
    row.publish(made)
    row.beat(2)
    assert row.sheet() == [b"", b"", b" t2:*>8"]


def test_what_a_newer_value_replaced_before_the_beat_is_counted(row: Row) -> None:
    row.member()
    row.stage.price("1")
    row.publish(row.ticker)
    row.publish(row.ticker, row.kline)
    assert row.tier.conflated == 1
    row.beat(1)
    row.publish(row.ticker)
    assert row.tier.conflated == 1


def test_closed_klines_of_a_beat_are_counted_by_watchlist(row: Row) -> None:
    member, other = row.member(), row.member(row.ticker)
    row.stage.closes(1)
    row.stage.closes(2)
    row.publish()
    row.beat(1)
    assert row.tier.closed_of(member.subscription_set) == 2
    assert row.tier.closed_of(other.subscription_set) == 0
    row.publish(row.ticker)
    row.beat(2)
    assert row.tier.closed_of(member.subscription_set) == 0
