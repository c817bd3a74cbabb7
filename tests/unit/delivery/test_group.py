from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import Lane
from gateway.delivery.group import Group
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState, StaleReason
from gateway.delivery.subscription_set import SubscriptionSets
from gateway.delivery.throttle import DEFAULT
from tests.fakes import FakeSocket, FakeSocketBatch
from tests.unit.delivery.samples import CLOSED_ONLY, LOG, STYLE, SampleMarket

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel
    from gateway.delivery.dialect import Style

LIVE = FeedState()


class Row:
    """One group over the channels of a market; the hub only makes channels."""

    def __init__(self) -> None:
        self.samples = SampleMarket()
        hub: Hub = Hub(self.samples.market)
        self.channels = hub.channels
        self.ticker = hub.ticker_channel("AAAUSDT")
        self.kline = hub.kline_channel("AAAUSDT", "1m")
        self.group = Group(DEFAULT, self.channels)
        self.subscription_sets = SubscriptionSets()

    def member(self, *channels: Channel, style: Style = STYLE) -> Session:
        """A session that is in sync since flush 0."""
        member = self.newcomer(*channels, style=style)
        self.group.enter_sync(member, LIVE, 0)
        return member

    def newcomer(self, *channels: Channel, style: Style = STYLE, order: int = 0) -> Session:
        """A session that is catching up."""
        socket = FakeSocket()
        socket.order = order
        session = Session(socket, style)
        session.begin(self.subscription_sets.of(channels or self.channels), 0)
        self.group.add(session)
        return session

    def publish(self, *channels: Channel) -> None:
        for channel in channels or self.channels:
            channel.refresh()
        self.group.mark_changed(channels or self.channels)

    def flush(self, number: int, *held: Lane, now_s: float = 0.0) -> None:
        self.group.encode(number, frozenset(held), now_s)

    def table(self, style: Style = STYLE) -> list[bytes]:
        """The fragments of the ticker (0) and of the kline (1) at this flush."""
        return self.group.fragment_tables[style]


@pytest.fixture
def row() -> Row:
    return Row()


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
    assert row.group.fragment_tables.keys() == {STYLE, CLOSED_ONLY}
    row.group.remove(other)
    row.group.remove(first)
    assert row.group.fragment_tables.keys() == {STYLE}
    row.group.remove(second)
    assert row.group.fragment_tables == {}


def test_a_group_without_sessions_collects_nothing(row: Row) -> None:
    row.samples.price("5")
    row.publish(row.ticker)
    row.member()
    assert (row.group.changed, row.group.conflated) == (False, 0)
    row.flush(1)
    assert row.table() == [b"", b""]


class TestBase:
    """What a delta is against: what the group was last sent, or what the first session of a cohort was."""

    def test_of_a_channel_that_no_cohort_had_is_what_the_newcomer_was_sent(self, row: Row) -> None:
        row.member(row.kline)
        row.samples.price("5")
        row.publish(row.ticker)
        row.flush(1)
        assert row.table() == [b"", b""], "nobody has it"
        row.member(row.ticker)
        row.samples.price("6")
        row.publish(row.ticker)
        row.flush(2)
        assert row.table()[0] == b" t0:5>6"

    def test_of_a_channel_without_a_value_is_nothing(self, row: Row) -> None:
        row.member()
        row.samples.price("5")
        row.publish(row.ticker)
        row.flush(1)
        assert row.table()[0] == b" t0:*>5"

    def test_is_not_moved_by_further_cohorts(self, row: Row) -> None:
        row.member()
        row.samples.price("5")
        row.publish(row.ticker)
        row.flush(1)
        row.samples.price("6")
        row.publish(row.ticker)
        row.member(row.ticker)
        row.flush(2)
        assert row.table()[0] == b" t0:5>6"

    def test_of_a_log_is_its_end_when_the_first_session_joined(self, row: Row) -> None:
        row.samples.closes(0)
        row.publish(row.kline)
        row.member(row.kline)
        row.samples.closes(1)
        row.publish(row.kline)
        row.flush(1)
        assert row.table()[1] == b" c1:1"

    def test_is_taken_anew_after_the_last_session_that_had_the_channel(self, row: Row) -> None:
        member = row.member()
        row.samples.price("5")
        row.publish(row.ticker)
        row.flush(1)
        row.group.remove(member)
        row.samples.price("6")
        row.publish(row.ticker)
        row.member()
        row.samples.price("7")
        row.publish(row.ticker)
        row.flush(2)
        assert row.table()[0] == b" t0:6>7"


class TestChanges:
    def test_of_the_channels_of_a_set_are_what_its_sessions_lack(self, row: Row) -> None:
        both, one = row.member(), row.member(row.kline)
        row.publish(row.ticker)
        changed = row.group.changed
        assert row.group.behind(both.subscription_set) == [row.ticker.n]
        assert row.group.behind(one.subscription_set) == []
        row.flush(1)
        assert (changed, row.group.changed) == (True, False)
        assert row.group.behind(both.subscription_set) == []

    def test_are_dropped_with_the_last_session_that_has_the_channel(self, row: Row) -> None:
        first, second = row.member(), row.member(row.ticker)
        row.publish()
        row.group.remove(first)
        assert row.group.behind(first.subscription_set) == [row.ticker.n]
        row.group.remove(second)
        assert not row.group.changed


def test_a_group_knows_what_it_was_not_sent(row: Row) -> None:
    row.member()
    row.samples.price("5")
    row.publish(row.ticker)
    assert (row.group.has_changed(row.ticker), row.group.has_changed(row.kline)) == (True, False)
    row.flush(1)
    assert not row.group.has_changed(row.ticker)


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
        assert row.group.overrun() == []
        row.samples.stores(range(LOG + 1))
        row.publish()
        assert row.group.overrun() == [row.kline]

    def test_is_over_once_it_is_skipped(self, row: Row) -> None:
        row.member()
        row.samples.stores(range(LOG + 1))
        row.publish()
        row.group.skip_closed(row.kline)
        assert row.group.overrun() == []
        row.flush(1)
        assert row.table()[1] == b""

    def test_is_nothing_to_skip_for_a_group_that_never_had_the_channel(self, row: Row) -> None:
        row.samples.stores(range(LOG + 1))
        row.kline.refresh()
        row.group.skip_closed(row.kline)
        row.member()
        assert row.group.overrun() == []

    def test_of_a_strict_channel_goes_on_with_the_oldest_kline(self, row: Row) -> None:
        hub: Hub = Hub(row.samples.market, LOG)
        strict = hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
        row.channels[:] = [strict]
        row.member(strict)
        for number in range(LOG + 2):
            row.samples.closes(number)
            strict.refresh()
        row.group.mark_changed([strict])
        assert row.group.overrun() == [strict]
        row.flush(1)
        assert row.table()[0] == b" c0:2 c0:3 c0:4 c0:5"


class TestLeaveSync:
    """A row whose member has joined before flush 3, and whose kline 0 has closed before flush 4."""

    @pytest.fixture
    def member(self, row: Row) -> Session:
        member = row.member()
        row.flush(3)
        row.group.note_served(1)
        row.samples.closes(0)
        row.publish()
        row.flush(4)
        return member

    @staticmethod
    def leave(row: Row, member: Session) -> tuple[int, dict[int, int], FeedState | None]:
        row.group.leave_sync(member)
        assert member.cohort is None
        assert row.group.catching_up == {member}
        return member.served_at_flush, member.log_offsets, member.feed_state

    def test_keeps_this_flush_for_a_session_that_it_has_served(self, row: Row, member: Session) -> None:
        row.group.note_served(1)
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
        row.group.leave_sync(newcomer)
        assert newcomer.served_at_flush == 4

    def test_changes_nothing_for_a_session_that_is_catching_up(self, row: Row) -> None:
        newcomer = row.newcomer()
        row.group.leave_sync(newcomer)
        assert row.group.catching_up == {newcomer}
        assert newcomer.feed_state is None


class TestMembers:
    def test_are_the_sessions_in_sync_at_the_flush_in_order(self, row: Row) -> None:
        for order in (7, 9, 8):
            row.group.enter_sync(row.newcomer(order=order), LIVE, 0)
        assert row.group.members == []
        row.flush(1)
        assert [member.order for member in row.group.members] == [7, 8, 9]

    def test_stay_the_same_until_the_next_flush(self, row: Row) -> None:
        stays, leaves = row.member(), row.member()
        row.flush(1)
        members = row.group.members
        row.group.remove(leaves)
        joins = row.member()
        assert set(members) == {stays, leaves}
        row.flush(2)
        assert set(row.group.members) == {stays, joins}
        assert set(members) == {stays, leaves}

    def test_are_none_as_soon_as_the_last_one_has_left(self, row: Row) -> None:
        member = row.member()
        row.flush(1)
        row.group.socket_batch = FakeSocketBatch([member.sink])
        row.group.remove(member)
        assert row.group.members == []
        assert row.group.socket_batch is None

    def test_are_the_same_list_while_no_session_joins_or_leaves(self, row: Row) -> None:
        row.member()
        row.flush(1)
        members = row.group.members
        row.flush(2)
        assert row.group.members is members


class TestCohorts:
    def test_equal_sessions_share_a_cohort(self, row: Row) -> None:
        one, two = row.member(row.kline), row.member(row.kline)
        other, styled = row.member(), row.member(row.kline, style=CLOSED_ONLY)
        assert one.cohort is two.cohort
        assert len({one.cohort, other.cohort, styled.cohort}) == 3
        assert len(row.group.sessions()) == 4

    def test_entering_sync_drops_the_log_offsets(self, row: Row) -> None:
        member = row.newcomer()
        assert row.group.sessions() == [member]
        member.subscribe(member.subscription_set, {1: 0}, 0)
        row.group.enter_sync(member, LIVE, 3)
        assert member.log_offsets == {}
        assert not row.group.catching_up
        assert member.cohort is not None
        assert (member.cohort.feed_state, member.cohort.framed_at_flush) == (LIVE, 3)

    @pytest.mark.parametrize("leaves", [0, 1, 2])
    def test_the_others_keep_their_cohort_when_one_leaves(self, row: Row, leaves: int) -> None:
        members = [row.member() for _ in range(3)]
        gone = members.pop(leaves)
        row.group.remove(gone)
        assert gone.cohort is None
        assert set(row.group.sessions()) == set(members)
        for member in members:
            assert member.cohort is not None
            assert member.cohort.size == 2

    def test_end_with_their_last_session(self, row: Row) -> None:
        member = row.member()
        row.group.remove(member)
        assert row.group.cohorts == {}

    def test_removing_a_session_twice_changes_nothing(self, row: Row) -> None:
        member = row.member()
        row.group.remove(member)
        row.group.remove(member)
        assert row.group.sessions() == []


def test_channels_made_later_are_encoded_too(row: Row) -> None:
    row.member()
    row.flush(1)
    hub: Hub = Hub(row.samples.market)
    for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT"):
        made = hub.ticker_channel(symbol)
    row.channels.append(made)
    row.member(made)
    row.samples.price("8", "CCCUSDT")
    row.publish(made)
    row.flush(2)
    assert row.table() == [b"", b"", b" t2:*>8"]


def test_values_replaced_before_the_flush_are_counted_as_conflated(row: Row) -> None:
    row.member()
    row.samples.price("1")
    row.publish(row.ticker)
    row.publish(row.ticker, row.kline)
    assert row.group.conflated == 1
    row.flush(1)
    row.publish(row.ticker)
    assert row.group.conflated == 1


def test_closed_klines_of_a_flush_are_counted_by_subscription_set(row: Row) -> None:
    member, other = row.member(), row.member(row.ticker)
    row.samples.closes(1)
    row.samples.closes(2)
    row.publish()
    row.flush(1)
    assert row.group.closed_of(member.subscription_set) == 2
    assert row.group.closed_of(other.subscription_set) == 0
    row.publish(row.ticker)
    row.flush(2)
    assert row.group.closed_of(member.subscription_set) == 0


class TestPlacesOfChanges:
    """A hundred sessions with lists of their own: each has the kline, and a ticker that no other has."""

    @pytest.fixture
    def tickers(self, row: Row) -> list[Channel]:
        hub: Hub = Hub(row.samples.market)
        tickers: list[Channel] = [hub.ticker_channel(f"S{number:02d}USDT") for number in range(100)]
        row.channels[:] = [*tickers, hub.kline_channel("AAAUSDT", "1m")]
        for order, ticker in enumerate(tickers):
            row.group.enter_sync(row.newcomer(ticker, row.channels[-1], order=order), LIVE, 0)
        return tickers

    def test_are_those_of_the_sessions_that_have_what_changed_if_few_have(
        self, row: Row, tickers: list[Channel]
    ) -> None:
        row.publish(tickers[70], tickers[7])
        row.flush(1)
        assert list(row.group.places_of_changes()) == [7, 70]
        row.publish(tickers[8])
        row.flush(2)
        assert list(row.group.places_of_changes()) == [8]

    def test_name_a_session_once_however_much_of_it_has_changed(self, row: Row, tickers: list[Channel]) -> None:
        row.group.enter_sync(row.newcomer(tickers[1], tickers[2], order=100), LIVE, 0)
        row.publish(tickers[1], tickers[2])
        row.flush(1)
        assert list(row.group.places_of_changes()) == [1, 2, 100]

    def test_are_all_if_many_have_what_changed(self, row: Row, tickers: list[Channel]) -> None:
        row.publish(row.channels[-1])
        row.flush(1)
        assert row.group.places_of_changes() == range(100)
        row.publish(*tickers[:30])
        row.flush(2)
        assert row.group.places_of_changes() == range(100)

    def test_are_none_if_nothing_changed(self, row: Row, tickers: list[Channel]) -> None:
        row.flush(1)
        assert list(row.group.places_of_changes()) == []

    def test_are_none_if_what_changed_waits(self, row: Row, tickers: list[Channel]) -> None:
        row.publish(tickers[7])
        row.flush(1, Lane.TICKER)
        assert list(row.group.places_of_changes()) == []

    def test_follow_the_members(self, row: Row, tickers: list[Channel]) -> None:
        row.publish(tickers[7])
        row.flush(1)
        assert list(row.group.places_of_changes()) == [7]
        row.group.remove(row.group.members[3])
        row.publish(tickers[7], tickers[3])
        row.flush(2)
        assert list(row.group.places_of_changes()) == [6]

    def test_of_a_single_cohort_are_all_of_its_sessions(self, row: Row) -> None:
        for _ in range(3):
            row.member()
        row.publish(row.ticker)
        row.flush(1)
        assert row.group.places_of_changes() == range(3)


def test_a_group_is_in_use_while_it_has_sessions(row: Row) -> None:
    assert (row.group.in_use, row.group.size) == (False, 0)
    newcomer, member = row.newcomer(), row.member()
    assert (row.group.in_use, row.group.size) == (True, 2)
    row.group.remove(newcomer)
    assert (row.group.in_use, row.group.size) == (True, 1)
    row.group.remove(member)
    assert (row.group.in_use, row.group.size) == (False, 0)


def test_a_group_like_another_has_been_told_the_same_about_the_load(row: Row) -> None:
    row.group.ticker_period = 4
    assert Group(DEFAULT, row.channels, row.group).ticker_period == 4
    assert Group(DEFAULT, row.channels).ticker_period == 1


def test_a_group_remembers_its_flushes(row: Row) -> None:
    row.flush(3, now_s=100.0)
    row.flush(7, Lane.TICKER, now_s=101.0)
    assert (row.group.previous_flush, row.group.last_flush, row.group.flushes) == (3, 7, 2)
    assert (row.group.encoded_s, row.group.held_lanes) == (101.0, {Lane.TICKER})
    assert (member := row.member()).cohort is not None
    assert member.cohort.last_frame_s == 101.0, "it was sent something with this flush"


def test_a_group_remembers_which_sockets_were_probed(row: Row) -> None:
    row.group.note_probed(5, 100.0)
    assert (row.group.probed_to, row.group.probed_s) == (5, 100.0)


def test_a_group_knows_what_its_flushes_take_on_average(row: Row) -> None:
    row.group.note_cost(0.004)
    assert 0 < row.group.cost_s < 0.004
    for _ in range(50):
        row.group.note_cost(0.002)
    assert row.group.cost_s == pytest.approx(0.002)
