from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import Lane
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState, StaleReason
from gateway.delivery.subscription_set import SubscriptionSets
from gateway.delivery.tier import Tier
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import CLOSED_ONLY, LOG, STYLE, SampleMarket

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel
    from gateway.delivery.dialect import Style

LIVE = FeedState()


class Row:
    """One tier over the channels of a market; the hub only makes channels."""

    def __init__(self, period_flushes: int = 1) -> None:
        self.samples = SampleMarket()
        hub: Hub = Hub(self.samples.market)
        self.channels = hub.channels
        self.ticker = hub.ticker_channel("AAAUSDT")
        self.kline = hub.kline_channel("AAAUSDT", "1m")
        self.tier: Tier = Tier(period_flushes)
        self.subscription_sets = SubscriptionSets()
        for channel in self.channels:
            self.tier.forget(channel)

    def member(self, *channels: Channel, style: Style = STYLE) -> Session:
        """A session that is in sync since flush 0."""
        member = self.newcomer(*channels, style=style)
        self.tier.enter_sync(member, LIVE, 0)
        return member

    def newcomer(self, *channels: Channel, style: Style = STYLE, order: int = 0) -> Session:
        """A session that is catching up."""
        socket = FakeSocket()
        socket.order = order
        session = Session(socket, style)
        session.begin(self.subscription_sets.of(channels or self.channels), 0)
        self.tier.add(session, self.channels)
        return session

    def publish(self, *channels: Channel) -> None:
        for channel in channels or self.channels:
            channel.refresh()
        self.tier.mark_changed(channels or self.channels)

    def flush(self, number: int, *held: Lane) -> None:
        self.tier.encode(number, len(self.channels), frozenset(held))

    def table(self, style: Style = STYLE) -> list[bytes]:
        """The fragments of the ticker (0) and of the kline (1) at this flush."""
        return self.tier.fragment_tables[style]


@pytest.fixture
def row() -> Row:
    return Row()


def test_a_tier_is_due_once_in_its_period() -> None:
    assert [number for number in range(9) if Row(4).tier.is_due(number)] == [0, 4, 8]


def test_a_flush_encodes_what_changed_since_the_flush_before(row: Row) -> None:
    row.member()
    row.samples.price("5")
    row.publish(row.ticker)
    row.flush(1)
    assert row.table()[0] == b" t0:*>5"
    row.samples.price("6")
    row.publish(row.ticker)
    row.samples.price("7")
    row.publish(row.ticker)
    row.flush(2)
    assert row.table()[0] == b" t0:5>7"
    row.flush(3)
    assert row.table() == [b"", b""]


def test_closed_klines_come_before_the_forming_one(row: Row) -> None:
    row.member(row.kline)
    row.samples.forms(0, "101")
    row.publish(row.kline)
    row.flush(1)
    row.samples.closes(0)
    row.samples.closes(1)
    row.samples.forms(2, "103")
    row.publish(row.kline)
    row.flush(2)
    assert row.table()[1] == b" c1:0 c1:1 k1:101>103"


def test_the_closed_only_style_has_fragments_of_closed_klines_only(row: Row) -> None:
    row.member(style=CLOSED_ONLY)
    row.samples.price("5")
    row.samples.forms(0)
    row.publish()
    row.flush(1)
    assert row.table(CLOSED_ONLY) == [b"", b""]
    row.samples.closes(0)
    row.publish()
    row.flush(2)
    assert row.table(CLOSED_ONLY) == [b"", b" c1:0"]


def test_fragment_tables_are_kept_for_the_styles_in_use(row: Row) -> None:
    first, second = row.member(), row.member(row.kline)
    other = row.member(style=CLOSED_ONLY)
    assert row.tier.fragment_tables.keys() == {STYLE, CLOSED_ONLY}
    row.tier.remove(other)
    row.tier.remove(first)
    assert row.tier.fragment_tables.keys() == {STYLE}
    row.tier.remove(second)
    assert row.tier.fragment_tables == {}


def test_an_empty_tier_collects_nothing(row: Row) -> None:
    row.samples.price("5")
    row.publish(row.ticker)
    row.member()
    row.flush(1)
    assert row.table() == [b"", b""]


def test_a_tier_that_was_empty_has_forgotten_what_it_sent(row: Row) -> None:
    member = row.member()
    row.samples.price("5")
    row.publish(row.ticker)
    row.flush(1)
    row.tier.remove(member)
    row.member()
    row.samples.price("6")
    row.publish(row.ticker)
    row.flush(2)
    assert row.table()[0] == b" t0:*>6"


def test_a_tier_with_a_session_catching_up_forgets_nothing(row: Row) -> None:
    row.newcomer()
    row.samples.price("5")
    row.publish(row.ticker)
    row.flush(1)
    row.member()
    row.samples.price("6")
    row.publish(row.ticker)
    row.flush(2)
    assert row.table()[0] == b" t0:5>6"


class TestHeldLanes:
    def test_changes_of_a_held_lane_wait_for_a_later_flush(self, row: Row) -> None:
        row.member()
        row.samples.price("5")
        row.samples.forms(0, "101")
        row.publish()
        row.flush(1, Lane.TICKER)
        assert row.table() == [b"", b" k1:*>101"]
        row.flush(2)
        assert row.table() == [b" t0:*>5", b""]

    def test_a_closed_kline_never_waits(self, row: Row) -> None:
        row.member()
        row.samples.price("5")
        row.samples.closes(0)
        row.publish()
        row.flush(1, Lane.TICKER, Lane.KLINE)
        assert row.table() == [b"", b" c1:0"]

    def test_a_forming_kline_waits(self, row: Row) -> None:
        row.member()
        row.samples.forms(0, "101")
        row.publish()
        row.flush(1, Lane.KLINE)
        assert row.table() == [b"", b""]


class TestOverrun:
    def test_is_a_channel_of_which_more_closed_than_its_log_holds(self, row: Row) -> None:
        row.member()
        row.samples.stores(range(LOG))
        row.publish()
        assert row.tier.overrun() == []
        row.samples.stores(range(LOG + 1))
        row.publish()
        assert row.tier.overrun() == [row.kline]

    def test_is_over_once_it_is_skipped(self, row: Row) -> None:
        row.member()
        row.samples.stores(range(LOG + 1))
        row.publish()
        row.tier.skip_closed(row.kline)
        assert row.tier.overrun() == []
        row.flush(1)
        assert row.table()[1] == b""

    def test_of_a_strict_channel_goes_on_with_the_oldest_kline(self, row: Row) -> None:
        hub: Hub = Hub(row.samples.market, LOG)
        strict = hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
        row.tier.forget(strict)
        row.channels[:] = [strict]
        row.member(strict)
        for number in range(LOG + 2):
            row.samples.closes(number)
            strict.refresh()
        row.tier.mark_changed([strict])
        assert row.tier.overrun() == [strict]
        row.flush(1)
        assert row.table()[0] == b" c0:2 c0:3 c0:4 c0:5"


class TestLeaveSync:
    """A row whose member has joined before flush 3, and whose kline 0 has closed before flush 4."""

    @pytest.fixture
    def member(self, row: Row) -> Session:
        member = row.member()
        row.flush(3)
        row.tier.note_served(1)
        row.samples.closes(0)
        row.publish()
        row.flush(4)
        return member

    @staticmethod
    def leave(row: Row, member: Session) -> tuple[int, dict[int, int], FeedState | None]:
        row.tier.leave_sync(member)
        assert member.cohort is None
        assert row.tier.catching_up == {member}
        return member.served_at_flush, member.log_offsets, member.feed_state

    def test_keeps_this_flush_for_a_session_that_it_has_served(self, row: Row, member: Session) -> None:
        row.tier.note_served(1)
        assert self.leave(row, member) == (4, {1: 1}, LIVE)

    def test_keeps_the_flush_before_for_a_session_that_is_not_served_yet(self, row: Row, member: Session) -> None:
        assert self.leave(row, member) == (3, {1: 0}, LIVE)

    @pytest.mark.parametrize("framed", [False, True])
    def test_keeps_the_feed_state_before_once_the_cohort_has_a_frame(
        self, row: Row, member: Session, framed: bool
    ) -> None:
        cohort = member.cohort
        assert cohort is not None
        before, cohort.feed_state = cohort.feed_state, FeedState(StaleReason.DISCONNECTED, 1)
        if framed:
            cohort.framed_at_flush = 4
        assert self.leave(row, member)[2] is (before if framed else cohort.feed_state)

    def test_counts_a_session_that_joined_during_the_flush_as_served(self, row: Row, member: Session) -> None:
        newcomer = row.member()
        row.tier.leave_sync(newcomer)
        assert newcomer.served_at_flush == 4

    def test_changes_nothing_for_a_session_that_is_catching_up(self, row: Row) -> None:
        newcomer = row.newcomer()
        row.tier.leave_sync(newcomer)
        assert row.tier.catching_up == {newcomer}
        assert newcomer.feed_state is None


class TestMembers:
    def test_are_the_sessions_in_sync_at_the_flush_in_order(self, row: Row) -> None:
        for order in (7, 9, 8):
            row.tier.enter_sync(row.newcomer(order=order), LIVE, 0)
        assert row.tier.members == []
        row.flush(1)
        assert [member.order for member in row.tier.members] == [7, 8, 9]

    def test_stay_the_same_until_the_next_flush(self, row: Row) -> None:
        stays, leaves = row.member(), row.member()
        row.flush(1)
        members = row.tier.members
        row.tier.remove(leaves)
        joins = row.member()
        assert set(members) == {stays, leaves}
        row.flush(2)
        assert set(row.tier.members) == {stays, joins}
        assert set(members) == {stays, leaves}

    def test_are_the_same_list_while_no_session_joins_or_leaves(self, row: Row) -> None:
        row.member()
        row.flush(1)
        members = row.tier.members
        row.flush(2)
        assert row.tier.members is members


class TestCohorts:
    def test_equal_sessions_share_a_cohort(self, row: Row) -> None:
        one, two = row.member(row.kline), row.member(row.kline)
        other, styled = row.member(), row.member(row.kline, style=CLOSED_ONLY)
        assert one.cohort is two.cohort
        assert len({one.cohort, other.cohort, styled.cohort}) == 3
        assert len(row.tier.sessions()) == 4

    def test_entering_sync_drops_the_log_offsets(self, row: Row) -> None:
        member = row.newcomer()
        assert row.tier.sessions() == [member]
        member.subscribe(member.subscription_set, {1: 0}, 0)
        row.tier.enter_sync(member, LIVE, 3)
        assert member.log_offsets == {}
        assert not row.tier.catching_up
        assert member.cohort is not None
        assert (member.cohort.feed_state, member.cohort.framed_at_flush) == (LIVE, 3)

    @pytest.mark.parametrize("leaves", [0, 1, 2])
    def test_the_others_keep_their_cohort_when_one_leaves(self, row: Row, leaves: int) -> None:
        members = [row.member() for _ in range(3)]
        gone = members.pop(leaves)
        row.tier.remove(gone)
        assert gone.cohort is None
        assert set(row.tier.sessions()) == set(members)
        for member in members:
            assert member.cohort is not None
            assert member.cohort.size == 2

    def test_end_with_their_last_session(self, row: Row) -> None:
        member = row.member()
        row.tier.remove(member)
        assert row.tier.cohorts == {}

    def test_removing_a_session_twice_changes_nothing(self, row: Row) -> None:
        member = row.member()
        row.tier.remove(member)
        row.tier.remove(member)
        assert row.tier.sessions() == []


def test_channels_made_later_are_encoded_too(row: Row) -> None:
    row.member()
    row.flush(1)
    hub: Hub = Hub(row.samples.market)
    for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT"):
        made = hub.ticker_channel(symbol)
    row.channels.append(made)
    row.tier.forget(made)
    row.samples.price("8", "CCCUSDT")
    row.publish(made)
    row.flush(2)
    assert row.table() == [b"", b"", b" t2:*>8"]


def test_values_replaced_before_the_flush_are_counted_as_conflated(row: Row) -> None:
    row.member()
    row.samples.price("1")
    row.publish(row.ticker)
    row.publish(row.ticker, row.kline)
    assert row.tier.conflated == 1
    row.flush(1)
    row.publish(row.ticker)
    assert row.tier.conflated == 1


def test_closed_klines_of_a_flush_are_counted_by_subscription_set(row: Row) -> None:
    member, other = row.member(), row.member(row.ticker)
    row.samples.closes(1)
    row.samples.closes(2)
    row.publish()
    row.flush(1)
    assert row.tier.closed_of(member.subscription_set) == 2
    assert row.tier.closed_of(other.subscription_set) == 0
    row.publish(row.ticker)
    row.flush(2)
    assert row.tier.closed_of(member.subscription_set) == 0
