from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import Lane, StrictKlineChannel, View
from gateway.delivery.commands import SnapshotRequest
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState, StaleReason
from gateway.delivery.throttle import TIER_RATES
from tests.builders import MINUTE_MS, T0
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import CLOSED_ONLY, LOG, STYLE, SampleMarket, flush

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel

TICKERS = frozenset({Lane.TICKER})


class WatchedSession(Session):
    """A session that can have weak references, for the test of garbage."""

    __slots__ = ("__weakref__",)


class Rig:
    """A hub, its market and its sessions, which take everything as soon as it is due."""

    def __init__(self, collect_flushes: int = 3) -> None:
        self.samples = SampleMarket()
        self.hub: Hub = Hub(self.samples.market, LOG, collect_flushes)
        self.ticker = self.hub.ticker_channel("AAAUSDT")
        self.kline = self.hub.kline_channel("AAAUSDT", "1m")

    def session(self, *channels: Channel, tier: int = 0) -> WatchedSession:
        session = WatchedSession(FakeSocket(), STYLE)
        self.hub.add(session)
        self.hub.move(session, tier)
        if channels:
            self.hub.subscribe(session, channels)
        return session

    def flush(self, held: frozenset[Lane] = frozenset()) -> None:
        """A flush at which every session that may take something does, and is in sync again."""
        for tier in flush(self.samples, self.hub, held):
            tier.note_served(len(tier.members))
            for session in list(tier.catching_up):
                if (
                    session.hold_until_flush <= self.hub.flush_number
                    and not session.pending
                    and not session.snapshots_due
                ):
                    session.begin(session.subscription_set, self.hub.flush_number)
                    self.hub.enter_sync(session)

    def fragments(self, tier: int = 0) -> bytes:
        """All fragments of a tier at this flush."""
        return b"".join(self.hub.tiers[tier].fragment_tables.get(STYLE, []))


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
        assert session not in rig.hub.tiers[0].catching_up
        rig.hub.subscribe(session, [rig.kline])
        assert session.cohort is None
        assert session in rig.hub.tiers[0].catching_up

    def test_of_a_channel_without_subscribers_starts_with_a_full_value(self, rig: Rig) -> None:
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
        assert rig.fragments() == b" t0:*>7"


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
        rig.hub.move(session, 2)
        assert session.cohort is None
        assert session in rig.hub.tiers[2].catching_up
        assert rig.hub.tiers[0].sessions() == []

    def test_to_the_same_tier_leaves_it_in_sync(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.hub.move(session, 0)
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
        rig.hub.limit_rate(session, 2.5, 100)
        assert session.pace.max_rate == 2.5
        assert session in rig.hub.tiers[2].catching_up, "every fourth flush of 100 ms is 2.5 times a second"
        rig.hub.limit_rate(session, 0, 100)
        assert session in rig.hub.tiers[0].catching_up

    def test_a_session_with_an_allowance_of_bytes_leaves_sync(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        assert session not in rig.hub.tiers[0].catching_up
        rig.hub.limit_bytes(session, 60_000)
        assert session in rig.hub.tiers[0].catching_up
        allowance = session.pace.allowance
        assert allowance is not None
        assert allowance.bytes_per_min == 60_000
        rig.hub.limit_bytes(session, 0)
        assert session.pace.allowance is None


class TestPublish:
    def test_refreshes_channels_with_subscribers(self, rig: Rig) -> None:
        rig.session(rig.ticker)
        rig.samples.price("5")
        rig.samples.price("5", "BBBUSDT")
        rig.flush()
        assert rig.ticker.value is not None
        assert rig.ticker.changed_at_flush == rig.hub.flush_number
        assert rig.kline.changed_at_flush == 0

    def test_serves_each_tier_at_its_own_flushes(self, rig: Rig) -> None:
        for tier in range(len(TIER_RATES)):
            rig.session(rig.ticker, tier=tier)
        due = [[tier.period_flushes for tier in flush(rig.samples, rig.hub)] for _ in range(16)]
        assert due[0] == [1]
        assert due[3] == [1, 2, 4]
        assert due[15] == list(TIER_RATES)

    def test_skips_empty_tiers(self, rig: Rig) -> None:
        rig.flush()
        assert flush(rig.samples, rig.hub) == []

    def test_collects_channels_of_all_symbols_over_several_flushes(self, rig: Rig) -> None:
        everything = rig.hub.market_channel(View.MINI, "!miniTicker@arr")
        rig.samples.price("1")
        rig.flush()
        rig.session(everything)
        rig.flush()
        said = []
        for price in "23456":
            rig.samples.price(price)
            rig.flush()
            said.append(rig.fragments())
        assert said == [b" a2:AAAUSDT=2", b"", b"", b" a2:AAAUSDT=5", b""]


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

    def test_is_due_when_the_log_no_longer_holds_what_a_session_lacks(self, rig: Rig) -> None:
        rig.samples.stores([0])
        rig.flush()
        quick, slow = rig.session(rig.kline), rig.session(rig.kline, tier=1)
        for _ in range(3):
            rig.flush()
        for number in range(1, LOG + 1):
            rig.samples.closes(number)
        rig.flush()
        assert not rig.hub.take_snapshots_due()
        rig.samples.closes(LOG + 1)
        rig.flush()
        assert rig.hub.take_snapshots_due() == {quick, slow}

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


class TestHeldBack:
    """A flush that holds a lane back leaves sessions in sync without its changes; they stay pending."""

    def test_changes_go_out_when_their_lane_is_not_held_any_more(self, rig: Rig) -> None:
        rig.session(rig.ticker, rig.kline)
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        assert rig.fragments() == b" k1:*>5"
        rig.flush()
        assert rig.fragments() == b" t0:*>5"

    def test_changes_are_pending_for_a_session_that_leaves_sync_meanwhile(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        rig.hub.leave_sync(session)
        assert session.pending.keys() == {rig.ticker.n}

    def test_changes_are_pending_for_a_session_that_subscribes_meanwhile(self, rig: Rig) -> None:
        rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        assert rig.session(rig.ticker).pending.keys() == {rig.ticker.n}
        assert rig.session(rig.kline).pending == {}

    def test_channels_count_as_changed_when_they_are_let_go(self, rig: Rig) -> None:
        session = rig.session(rig.ticker)
        rig.flush()
        rig.samples.price("5")
        rig.flush(TICKERS)
        changed = rig.ticker.changed_at_flush
        rig.flush(TICKERS)
        assert rig.ticker.changed_at_flush == changed
        rig.flush()
        assert rig.ticker.changed_at_flush == rig.hub.flush_number
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
        slow = rig.session(strict, tier=1)
        for _ in range(3):
            rig.flush()
        for number in range(LOG + 1):
            rig.samples.closes(number)
            rig.hub.publish(rig.samples.market.take_changes())
        rig.hub.due()
        assert rig.hub.strict.take_to_end(5) == [self.first]
        rig.hub.publish(rig.samples.market.take_changes())
        rig.hub.due()
        assert slow in rig.hub.strict.take_to_end(5)

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
