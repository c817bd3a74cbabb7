from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import Lane, StrictKlineChannel, View
from gateway.delivery.commands import SnapshotRequest
from gateway.delivery.flush_schedule import ALL_LANES
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState, StaleReason
from gateway.delivery.throttle import DEFAULT, FAST, TIER_RATES
from gateway.delivery.tier import SPLIT_S
from tests.builders import MINUTE_MS, T0
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import CLOSED_ONLY, LOG, SLOWEST, STYLE, SampleMarket, flush

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel
    from gateway.delivery.group import Group

TICKERS = frozenset({Lane.TICKER})
TWICE_A_SECOND = TIER_RATES.index(2.0)


class WatchedSession(Session):
    """A session that can have weak references, for the test of garbage."""

    __slots__ = ("__weakref__",)


class Rig:
    """A hub, its market and its sessions, which take everything as soon as it is due."""

    def __init__(self) -> None:
        self.samples = SampleMarket()
        self.hub: Hub = Hub(self.samples.market, LOG)
        self.now_s = 100.0
        self.ticker = self.hub.ticker_channel("AAAUSDT")
        self.kline = self.hub.kline_channel("AAAUSDT", "1m")

    def session(self, *channels: Channel, tier: int = DEFAULT) -> WatchedSession:
        session = WatchedSession(FakeSocket(), STYLE)
        self.hub.add(session)
        self.hub.move(session, tier)
        if channels:
            self.hub.subscribe(session, channels)
        return session

    def flush(self, held: frozenset[Lane] = frozenset(), *, slowest: int = SLOWEST) -> None:
        """A flush at which every session that may take something does, and is in sync again."""
        for group in flush(self.samples, self.hub, held, slowest=slowest, now_s=self.now_s):
            group.note_served(len(group.members))
            for session in list(group.catching_up):
                if (
                    session.hold_until_flush <= self.hub.flush_number
                    and not session.pending
                    and not session.snapshots_due
                ):
                    session.begin(session.subscription_set, self.hub.flush_number)
                    self.hub.enter_sync(session)

    def group(self, tier: int = DEFAULT) -> Group:
        """The only group of a tier."""
        (group,) = self.hub.tiers[tier].groups
        return group

    def fragments(self, tier: int = DEFAULT) -> bytes:
        """All fragments of a tier at this flush."""
        return b"".join(self.group(tier).fragment_tables.get(STYLE, []))


@pytest.fixture
def rig() -> Rig:
    return Rig()


class TestChannels:
    def test_are_numbered_in_the_order_of_their_first_use(self, rig: Rig) -> None:
        assert (rig.ticker.n, rig.ticker.name) == (0, "ticker:AAAUSDT")
        assert (rig.kline.n, rig.kline.name) == (1, "kline:AAAUSDT:1m")
        assert rig.hub.channels == [rig.ticker, rig.kline]

    def test_of_symbols_that_do_not_exist_are_removed_and_their_numbers_used_again(self, rig: Rig) -> None:
        hub, market = rig.hub, rig.samples.market

        def count() -> int:
            return sum(bool(channel.name) for channel in hub.channels)

        names = ("NONEUSDT", "NOWHEREUSDT")
        made = [
            channel
            for symbol in names
            for channel in (
                hub.ticker_channel(symbol),
                hub.kline_channel(symbol, "1m"),
                hub.strict_channel(symbol, "1m", f"{symbol.lower()}@kline_1m"),
            )
        ]
        session = rig.session(made[0], rig.ticker)
        rig.flush()
        assert count() == 8
        rig.samples.price("5")
        market.read = True
        for now_ms in (T0, T0 + 3_600_000):
            market.advance(now_ms)
        rig.flush()
        # One of them has a subscriber.
        assert count() == 3
        assert [hub.find(channel.name) for channel in made] == [made[0], *[None] * 5]
        hub.unsubscribe(session, made[:1])
        rig.flush()
        assert count() == 2
        assert session.subscription_set.ns == (rig.ticker.n,)
        again = hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
        assert again.n in {channel.n for channel in made}
        assert hub.channels[again.n] is again
        assert len(hub.channels) == 8
        hub.subscribe(session, [again])
        rig.flush()
        # A channel that was found before it was removed cannot be subscribed to: its number is free, or another's.
        hub.subscribe(session, made)
        assert set(session.subscription_set.ns) == {again.n, rig.ticker.n}
        assert {channel.subscribers for channel in made} == {0}

    def test_are_the_same_for_everybody(self, rig: Rig) -> None:
        hub = rig.hub
        assert hub.ticker_channel("AAAUSDT") is rig.ticker
        assert hub.kline_channel("AAAUSDT", "1m") is rig.kline
        strict = hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
        assert hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m") is strict
        everything = hub.market_channel(View.MINI, "!miniTicker@arr")
        assert hub.market_channel(View.MINI, "!miniTicker@arr") is everything
        assert len(hub.channels) == 4

    def test_of_one_source_can_be_several(self, rig: Rig) -> None:
        mini = rig.hub.ticker_channel("AAAUSDT", View.MINI, "aaausdt@miniTicker")
        assert (mini.name, mini.view) == ("aaausdt@miniTicker", View.MINI)
        rig.session(rig.ticker, mini)
        rig.flush()
        rig.samples.price("5")
        rig.flush()
        assert rig.fragments() == b" t0:*>5 t2:*>5"

    def test_are_found_by_name_after_their_first_use(self, rig: Rig) -> None:
        assert rig.hub.find("ticker:AAAUSDT") is rig.ticker
        assert rig.hub.find("ticker:BBBUSDT") is None


class TestSubscribe:
    def test_counts_and_lists_the_channel(self, rig: Rig) -> None:
        one, two = rig.session(rig.ticker), rig.session(rig.ticker, rig.kline)
        assert (rig.ticker.subscribers, rig.kline.subscribers) == (2, 1)
        assert (one.subscription_set.ns, two.subscription_set.ns) == ((0,), (1, 0))

    def test_twice_counts_once(self, rig: Rig) -> None:
        session = rig.session(rig.ticker, rig.ticker)
        rig.hub.subscribe(session, [rig.ticker])
        assert rig.ticker.subscribers == 1

    def test_starts_at_the_end_of_the_log(self, rig: Rig) -> None:
        rig.samples.closes(0)
        session = rig.session(rig.kline)
        assert session.log_offsets == {rig.kline.n: 1}
        rig.flush()
        assert rig.fragments() == b""

    def test_holds_the_session_until_the_next_flush(self, rig: Rig) -> None:
        rig.flush()
        assert rig.session(rig.ticker).hold_until_flush == rig.hub.flush_number + 1

    def test_takes_the_session_out_of_sync(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        assert session not in rig.group().catching_up
        rig.hub.subscribe(session, [rig.kline])
        assert session.cohort is None
        assert session in rig.group().catching_up

    def test_of_a_channel_without_subscribers_starts_with_its_value_then(self, rig: Rig) -> None:
        first = rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("5")
        rig.flush()
        rig.hub.remove(first)
        rig.samples.price("6")
        rig.flush()
        rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("7")
        rig.flush()
        assert rig.fragments() == b" t0:6>7"


class TestUnsubscribe:
    def test_drops_all_that_is_kept_of_the_channel(self, rig: Rig) -> None:
        session = rig.session(rig.ticker, rig.kline)
        session.add_pending([rig.kline.n])
        rig.hub.unsubscribe(session, [rig.kline])
        assert (rig.ticker.subscribers, rig.kline.subscribers) == (1, 0)
        assert session.subscription_set.ns == (0,)
        assert (session.log_offsets, session.pending) == ({}, {})

    def test_of_what_is_not_subscribed_changes_nothing(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.hub.unsubscribe(session, [rig.kline])
        assert session.cohort is not None
        assert rig.kline.subscribers == 0


class TestRemove:
    def test_leaves_nothing_of_the_session(self, rig: Rig) -> None:
        session = rig.session(rig.ticker, rig.kline)
        rig.flush()
        rig.samples.stores(range(LOG + 3))
        rig.flush()
        assert rig.hub.take_snapshots_due() == {session}
        rig.hub.remove(session)
        assert not rig.hub.take_snapshots_due()
        assert (rig.ticker.subscribers, rig.kline.subscribers) == (0, 0)
        gone = weakref.ref(session)
        del session
        gc.collect()
        assert gone() is None

    def test_twice_changes_nothing(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.hub.remove(session)
        rig.hub.remove(session)
        assert rig.ticker.subscribers == 0


class TestLeaveSync:
    def test_keeps_flush_number_log_offsets_and_feed_state(self, rig: Rig) -> None:
        rig.samples.closes(0)
        session = rig.session(rig.kline)
        rig.hub.set_feed_state(FeedState())
        rig.flush()
        rig.samples.closes(1)
        rig.flush()
        rig.hub.leave_sync(session)
        assert (session.served_at_flush, session.log_offsets) == (2, {rig.kline.n: 2})
        assert session.feed_state is rig.hub.feed_state

    def test_changes_nothing_for_a_session_that_is_catching_up(self, rig: Rig) -> None:
        session = rig.session(rig.kline)
        rig.hub.leave_sync(session)
        assert session.log_offsets == {rig.kline.n: 0}


class TestMove:
    def test_puts_the_session_into_another_tier(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.hub.move(session, 4)
        assert session.cohort is None
        assert rig.hub.group_of(session) is rig.group(4)
        assert session in rig.group(4).catching_up
        assert rig.hub.tiers[DEFAULT].sessions() == []

    def test_to_the_same_tier_leaves_it_in_sync(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.hub.move(session, DEFAULT)
        assert session.cohort is not None


def test_a_new_style_makes_all_values_pending(rig: Rig) -> None:
    session = rig.session(rig.ticker, rig.kline)
    rig.hub.set_style(session, CLOSED_ONLY)
    rig.hub.set_style(session, STYLE)
    assert session.style == STYLE
    assert session.pending.keys() == {0, 1}


class TestLimits:
    def test_a_rate_limit_puts_the_session_into_the_tier_that_keeps_it(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.hub.limit_rate(session, 2.5)
        assert session.pace.max_rate == 2.5
        assert session in rig.group(TWICE_A_SECOND).catching_up
        rig.hub.limit_rate(session, 0)
        assert session in rig.group().catching_up

    def test_a_session_that_wants_its_updates_at_once_is_in_the_fast_tier(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.hub.want_fast(session, fast=True)
        assert session in rig.group(FAST).catching_up
        rig.hub.want_fast(session, fast=False)
        assert session in rig.group().catching_up

    def test_those_who_want_their_updates_at_once_are_known_in_the_order_of_asking(self, rig: Rig) -> None:
        first, second, third = [rig.session(rig.ticker) for _ in range(3)]
        for session in (first, second, third, first):
            rig.hub.want_fast(session, fast=True)
        assert list(rig.hub.fast) == [second, third, first]
        rig.hub.want_fast(second, fast=False)
        rig.hub.remove(third)
        assert list(rig.hub.fast) == [first]

    def test_a_session_with_an_allowance_of_bytes_leaves_sync(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        assert session not in rig.group().catching_up
        rig.hub.limit_bytes(session, 60_000)
        assert session in rig.group().catching_up
        allowance = session.pace.allowance
        assert allowance is not None
        assert allowance.bytes_per_min == 60_000
        rig.hub.limit_bytes(session, 0)
        assert session.pace.allowance is None


def arrange_groups(rig: Rig) -> None:
    for tier in rig.hub.tiers:
        tier.arrange_groups()


class TestArrangeGroups:
    def test_splits_a_group_whose_flushes_take_long_and_loses_nothing(self, rig: Rig) -> None:
        sessions = [rig.session(rig.ticker) for _ in range(4)]
        rig.flush()
        rig.group().cost_s = 2 * SPLIT_S
        rig.samples.price("5")
        rig.hub.publish(rig.samples.market.take_changes())
        arrange_groups(rig)
        groups = rig.hub.tiers[DEFAULT].groups
        assert [group.size for group in groups] == [2, 2]
        moved = [session for session in sessions if session.cohort is None]
        assert set(moved) == groups[1].catching_up
        flush(rig.samples, rig.hub)
        assert rig.hub.tiers[DEFAULT].groups[0].fragment_tables[STYLE][0] == b" t0:*>5"
        assert {session.take(rig.hub.published, 10_000, 0).frames for session in moved} == {b"[ t0:*>5 ]"}

    def test_drops_groups_without_sessions(self, rig: Rig) -> None:
        rig.session(rig.ticker)
        second = rig.session(rig.ticker)
        rig.group().cost_s = 2 * SPLIT_S
        arrange_groups(rig)
        assert len(list(rig.hub.groups())) == len(TIER_RATES) + 1
        rig.hub.remove(second)
        arrange_groups(rig)
        assert len(list(rig.hub.groups())) == len(TIER_RATES)


class TestPublish:
    def test_refreshes_channels_with_subscribers(self, rig: Rig) -> None:
        rig.session(rig.ticker)
        rig.samples.price("5")
        rig.samples.price("5", "BBBUSDT")
        rig.flush()
        assert rig.ticker.value is not None
        assert rig.ticker.changed_at_flush == rig.hub.flush_number
        assert rig.kline.changed_at_flush == 0

    def test_changes_wait_in_each_group_for_its_own_flush(self, rig: Rig) -> None:
        rig.session(rig.ticker)
        rig.session(rig.ticker, tier=4)
        rig.flush()
        for price in "56":
            rig.samples.price(price)
            rig.flush(slowest=DEFAULT)
        assert (rig.fragments(), rig.fragments(4)) == (b" t0:5>6", b"")
        assert rig.group(4).changed
        rig.flush()
        assert (rig.fragments(), rig.fragments(4)) == (b"", b" t0:*>6")

    def test_an_empty_group_has_nothing_to_send(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.hub.remove(session)
        rig.samples.price("5")
        rig.flush()
        assert not any(group.changed or group.in_use for group in rig.hub.groups())

    def test_says_whether_klines_with_subscribers_have_closed(self, rig: Rig) -> None:
        rig.session(rig.ticker)
        rig.samples.closes(0)
        rig.flush()
        said = [rig.hub.has_closed]
        rig.session(rig.kline)
        rig.samples.closes(1)
        for _ in range(2):
            rig.flush()
            said.append(rig.hub.has_closed)
        assert said == [False, True, False]

    def test_collects_channels_of_all_symbols_for_a_second(self, rig: Rig) -> None:
        everything = rig.hub.market_channel(View.MINI, "!miniTicker@arr")
        rig.samples.price("1")
        rig.flush()
        rig.session(everything)
        rig.flush()
        said = []
        for price in "23456":
            rig.now_s += 0.4
            rig.samples.price(price)
            rig.flush()
            said.append(rig.fragments())
        assert said == [b"", b"", b" a2:AAAUSDT=4", b"", b""]

    def test_a_group_that_is_flushed_less_often_gets_all_that_was_collected(self, rig: Rig) -> None:
        """With a flush a second it may come shortly before one update, and shortly after the next but one."""
        everything = rig.hub.market_channel(View.MINI, "!miniTicker@arr")
        rig.session(everything, tier=TIER_RATES.index(1.0))
        rig.flush()
        for symbol in ("AAAUSDT", "BBBUSDT"):
            rig.now_s += 1.0
            rig.samples.price("5", symbol)
            rig.flush(slowest=DEFAULT)
        rig.flush()
        sent = rig.fragments(TIER_RATES.index(1.0))
        assert b"AAAUSDT=5" in sent
        assert b"BBBUSDT=5" in sent


class TestResync:
    def test_is_due_to_subscribers_of_a_corrected_channel(self, rig: Rig) -> None:
        rig.samples.stores([0, 1])
        has, has_not = rig.session(rig.kline), rig.session(rig.ticker)
        rig.flush()
        rig.samples.closes(1, trades=7, event_time_ms=rig.kline.closed_since(0)[0].event_time_ms + 10_000_000)
        rig.samples.closes(2)
        rig.flush()
        assert rig.hub.take_snapshots_due() == {has}
        assert has.snapshots_due.keys() == {rig.kline.n}
        assert has.log_offsets == {rig.kline.n: 3}
        assert has_not.cohort is not None

    def test_is_not_due_without_subscribers(self, rig: Rig) -> None:
        rig.samples.stores([0, 2])
        rig.flush()
        rig.samples.closes(1)
        rig.flush()
        assert not rig.hub.take_snapshots_due()

    def test_is_not_due_to_subscribers_of_strict_channels(self, rig: Rig) -> None:
        rig.samples.stores([0, 2])
        rig.session(rig.hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m"))
        rig.flush()
        rig.samples.closes(1)
        rig.flush()
        assert not rig.hub.take_snapshots_due()

    def test_is_due_to_a_group_of_which_the_log_no_longer_holds_what_it_lacks(self, rig: Rig) -> None:
        rig.samples.stores([0])
        rig.flush()
        quick, slow = rig.session(rig.kline), rig.session(rig.kline, tier=4)
        rig.flush()
        for number in range(1, LOG + 1):
            rig.samples.closes(number)
        rig.flush(slowest=DEFAULT)
        rig.samples.closes(LOG + 1)
        rig.flush()
        assert rig.hub.take_snapshots_due() == {slow}
        assert quick.cohort is not None

    def test_is_taken_once_for_a_session_that_marked_a_channel_itself(self, rig: Rig) -> None:
        session = rig.session(rig.kline)
        rig.hub.queue_snapshots(session)
        rig.hub.queue_snapshots(session)
        assert rig.hub.take_snapshots_due() == {session}
        assert not rig.hub.take_snapshots_due()

    def test_is_due_to_who_subscribed_before_the_first_kline_closed(self, rig: Rig) -> None:
        # The snapshot had what was stored; the kline that closes now may have been among it.
        session = rig.session(rig.kline)
        rig.flush()
        rig.samples.closes(0)
        rig.flush()
        assert rig.hub.take_snapshots_due() == {session}
        rig.hub.note_snapshot(session, rig.kline)
        rig.samples.closes(1)
        rig.flush()
        assert not rig.hub.take_snapshots_due()


class TestHeldLanes:
    """A flush that holds a lane leaves sessions in sync without its changes; they stay pending."""

    def test_changes_go_out_when_their_lane_is_not_held_any_more(self, rig: Rig) -> None:
        rig.session(rig.ticker, rig.kline)
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        assert rig.fragments() == b" k1:*>5"
        rig.flush()
        assert rig.fragments() == b" t0:*>5"

    @pytest.mark.parametrize("others", [1, 0])
    def test_changes_are_pending_for_a_session_that_leaves_sync_meanwhile(self, rig: Rig, others: int) -> None:
        session, *_ = [rig.session(rig.ticker) for _ in range(1 + others)]
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        rig.hub.leave_sync(session)
        assert session.pending.keys() == {rig.ticker.n}

    @pytest.mark.parametrize("held", [TICKERS, ALL_LANES])
    def test_changes_are_pending_for_a_session_that_does_not_take_them_when_they_are_let_go(
        self, rig: Rig, held: frozenset[Lane]
    ) -> None:
        """Its socket is full, or they are too much for one write: it leaves sync before it counts as served."""
        session, _ = rig.session(rig.ticker), rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("5")
        rig.flush(held)
        flush(rig.samples, rig.hub)
        rig.hub.leave_sync(session)
        taken = session.take(rig.hub.published, 10_000, 0, rig.hub.group_of(session).held_lanes)
        assert b" t0:*>5" in taken.frames

    def test_a_session_is_not_put_in_sync_while_its_group_waits_with_a_change_of_its_channels(self, rig: Rig) -> None:
        """It may have been sent what its group has not: with the group's next delta it would go back in time."""
        rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        late, other = rig.session(rig.ticker), rig.session(rig.kline)
        rig.flush(TICKERS)
        assert late.cohort is None
        assert other.cohort is not None
        rig.flush()
        late.take(rig.hub.published, 10_000, 0)
        rig.hub.enter_sync(late)
        assert late.cohort is not None

    def test_who_has_caught_up_between_two_flushes_waits_with_its_group(self, rig: Rig) -> None:
        rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        late = rig.session(rig.ticker)
        late.take(rig.hub.published, 10_000, 0)
        rig.hub.enter_sync(late)
        assert late.cohort is None
        assert list(late.pending) == [rig.ticker.n]

    def test_changes_are_pending_for_a_session_that_subscribes_meanwhile(self, rig: Rig) -> None:
        rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        assert rig.session(rig.ticker).pending.keys() == {rig.ticker.n}
        assert rig.session(rig.kline).pending == {}

    def test_changes_that_were_sent_are_not_pending(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        rig.flush()
        rig.hub.leave_sync(session)
        assert session.pending == {}


def test_changed_channels_are_counted_at_each_flush(rig: Rig) -> None:
    rig.session(rig.ticker, rig.kline)
    rig.flush()
    rig.samples.price("5")
    rig.flush()
    assert rig.hub.changed_channels == 2, "the ticker, and the kline that it moves"
    rig.flush()
    assert rig.hub.changed_channels == 0


class TestStrict:
    """Clients that take no corrections and no klines of the past."""

    NOW = T0 + MINUTE_MS

    @pytest.fixture
    def strict(self, rig: Rig) -> StrictKlineChannel:
        """Kline 0 is shown to a first session, which joined while it was forming."""
        rig.hub.set_feed_state(FeedState())
        rig.samples.forms(0)
        strict = rig.hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
        assert isinstance(strict, StrictKlineChannel)
        self.first = rig.session(strict)
        rig.flush()
        return strict

    def take(self, rig: Rig, session: Session) -> bytes:
        rig.hub.leave_sync(session)
        taken = session.take(rig.hub.published, 10_000, 0)
        if session.is_caught_up(rig.hub.published):
            rig.hub.enter_sync(session)
        return taken.frames

    def joins(self, rig: Rig, strict: StrictKlineChannel) -> Session:
        session = WatchedSession(FakeSocket(), STYLE)
        session.note_feed_state(rig.hub.feed_state)
        rig.hub.add(session)
        rig.hub.subscribe(session, [strict], self.NOW + 100)
        session.add_pending([strict.n])
        return session

    def test_who_joins_after_its_time_is_sent_neither_the_kline_nor_its_close(
        self, rig: Rig, strict: StrictKlineChannel
    ) -> None:
        late = self.joins(rig, strict)
        rig.flush()
        assert self.take(rig, late) == b""
        rig.samples.forms(0, "101", trades=1)
        rig.flush()
        assert self.take(rig, late) == b""
        assert self.take(rig, self.first) == b""
        rig.samples.closes(0)
        rig.flush()
        assert rig.fragments() == b" c2:0"
        assert self.take(rig, late) == b""
        rig.samples.forms(1)
        rig.flush()
        assert rig.fragments() == b" k2:*>105"
        assert late.cohort is self.first.cohort is not None

    def test_a_kline_that_closes_later_still_is_sent_to_who_was_shown_it(
        self, rig: Rig, strict: StrictKlineChannel
    ) -> None:
        rig.samples.forms(1)
        rig.samples.market.advance(T0)
        rig.samples.market.advance(T0 + 10 * MINUTE_MS)
        rig.flush()
        assert rig.fragments() == b" k2:105>105"
        rig.hub.strict.advance(0)
        rig.hub.strict.advance(9_999)
        rig.flush()
        assert rig.fragments() == b""
        rig.samples.closes(0)
        rig.flush()
        assert rig.fragments() == b" c2:0 k2:105>105"

    def test_a_kline_that_closes_too_late_ends_who_follows(self, rig: Rig, strict: StrictKlineChannel) -> None:
        rig.session(rig.kline)
        rig.samples.forms(1, "101")
        rig.samples.market.advance(T0)
        rig.samples.market.advance(T0 + 10 * MINUTE_MS)
        rig.flush()
        rig.hub.strict.advance(0)
        rig.hub.strict.advance(10_000)
        rig.flush()
        assert rig.fragments() == b" k2:105>101"
        assert rig.hub.strict.take_to_end(5) == []
        rig.samples.closes(0)
        rig.flush()
        assert rig.hub.strict.take_to_end(0) == []
        assert rig.hub.strict.take_to_end(5) == [self.first]
        assert rig.hub.strict.take_to_end(5) == []

    def test_a_channel_that_changes_as_it_goes_on_is_refreshed_once(self, rig: Rig, strict: StrictKlineChannel) -> None:
        rig.samples.forms(1, "101")
        rig.samples.market.advance(T0)
        rig.samples.market.advance(T0 + 10 * MINUTE_MS)
        rig.flush()
        rig.hub.strict.advance(0)
        rig.hub.strict.advance(10_000)
        rig.samples.forms(1, "102", trades=1)
        rig.flush()
        assert rig.hub.changed_channels == 1
        assert rig.fragments() == b" k2:105>102"

    def test_more_closes_than_the_log_holds_end_who_follows(self, rig: Rig, strict: StrictKlineChannel) -> None:
        slow = rig.session(strict, tier=4)
        for _ in range(3):
            rig.flush()
        for number in range(LOG + 1):
            rig.samples.closes(number)
            rig.hub.publish(rig.samples.market.take_changes())
        rig.hub.begin(rig.group())
        assert rig.hub.strict.take_to_end(5) == [self.first]
        rig.hub.begin(rig.group(4))
        assert rig.hub.strict.take_to_end(5) == [slow]

    def test_who_leaves_is_not_ended(self, rig: Rig, strict: StrictKlineChannel) -> None:
        late = self.joins(rig, strict)
        rig.hub.strict.mark_to_end(strict, [late])
        rig.hub.remove(late)
        assert rig.hub.strict.take_to_end(5) == []
        assert strict.subscribers == 1

    def test_what_was_missed_before_the_feed_is_read_is_the_past_only_until_then(
        self, rig: Rig, strict: StrictKlineChannel
    ) -> None:
        rig.hub.set_feed_state(FeedState(StaleReason.BACKFILLING))
        late = self.joins(rig, strict)
        rig.hub.set_feed_state(FeedState())
        for number in range(2):
            rig.samples.closes(number)
        rig.flush()
        assert b"c2:1" in self.take(rig, late)


def test_a_session_that_asks_for_a_snapshot_is_due_it_and_gets_nothing_before(rig: Rig) -> None:
    session = rig.session(rig.kline)
    rig.hub.want_snapshot(session, rig.kline, SnapshotRequest(500))
    assert rig.hub.take_snapshots_due() == {session}
    assert session.snapshots_due == {rig.kline.n: SnapshotRequest(500)}
    rig.hub.note_snapshot(session, rig.kline)
    assert session.snapshots_due == {}
