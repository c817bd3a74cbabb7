from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import Lane, View
from gateway.delivery.feed_state import FeedState
from gateway.delivery.hub import TIER_PERIODS, Hub
from gateway.delivery.member import Member
from tests.unit.delivery.stage import CLOSED_ONLY, LOG, STYLE, Stage, beat

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel

TICKERS = frozenset({Lane.TICKER})


class ClosingClient(Member):
    """Like every slotted class it has to say so to be watched by the garbage test."""

    __slots__ = ("__weakref__",)


class House:
    """A hub, its market and its members; everybody takes everything at once, as far as it is due."""

    def __init__(self, collect_flushes: int = 3) -> None:
        self.stage = Stage()
        self.hub: Hub[ClosingClient] = Hub(self.stage.market, LOG, collect_flushes)
        self.ticker = self.hub.ticker_channel("AAAUSDT")
        self.kline = self.hub.kline_channel("AAAUSDT", "1m")

    def guest(self, *channels: Channel, tier: int = 0) -> ClosingClient:
        guest = ClosingClient(STYLE)
        guest.tier = tier
        self.hub.add(guest)
        if channels:
            self.hub.subscribe(guest, channels)
        return guest

    def beat(self, held: frozenset[Lane] = frozenset()) -> None:
        """A tick at which everybody who may take something does, and is in step again."""
        for tier in beat(self.stage, self.hub, held):
            tier.reached = len(tier.members)
            for guest in list(tier.behind):
                if guest.hold_until_flush <= self.hub.tick and not guest.pending and not guest.to_resync:
                    guest.served_at_flush = self.hub.tick
                    tier.join(guest, self.hub.state, self.hub.tick)

    def said(self, tier: int = 0) -> bytes:
        """What those in step with a tier are told at this beat of everything there is."""
        return b"".join(self.hub.tiers[tier].fragment_tables.get(STYLE, []))


@pytest.fixture
def house() -> House:
    return House()


class TestChannels:
    def test_are_numbered_in_the_order_of_their_first_use(self, house: House) -> None:
        assert (house.ticker.n, house.ticker.name) == (0, "ticker:AAAUSDT")
        assert (house.kline.n, house.kline.name) == (1, "kline:AAAUSDT:1m")
        assert house.hub.channels == [house.ticker, house.kline]

    def test_are_the_same_for_everybody(self, house: House) -> None:
        hub = house.hub
        assert hub.ticker_channel("AAAUSDT") is house.ticker
        assert hub.kline_channel("AAAUSDT", "1m") is house.kline
        strict = hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
        assert hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m") is strict
        everything = hub.market_channel(View.MINI, "!miniTicker@arr")
        assert hub.market_channel(View.MINI, "!miniTicker@arr") is everything
        assert len(hub.channels) == 4

    def test_of_one_source_may_be_many(self, house: House) -> None:
        mini = house.hub.ticker_channel("AAAUSDT", View.MINI, "aaausdt@miniTicker")
        assert (mini.name, mini.view) == ("aaausdt@miniTicker", View.MINI)
        house.guest(house.ticker, mini)
        house.beat()
        house.stage.price("5")
        house.beat()
        assert house.said() == b" t0:*>5 t2:*>5"

    def test_are_found_by_name_once_somebody_used_them(self, house: House) -> None:
        assert house.hub.find("ticker:AAAUSDT") is house.ticker
        assert house.hub.find("ticker:BBBUSDT") is None


class TestSubscribe:
    def test_counts_and_lists_the_channel(self, house: House) -> None:
        one, two = house.guest(house.ticker), house.guest(house.ticker, house.kline)
        assert (house.ticker.subscribers, house.kline.subscribers) == (2, 1)
        assert (one.subscription_set.ns, two.subscription_set.ns) == ((0,), (1, 0))

    def test_twice_counts_once(self, house: House) -> None:
        guest = house.guest(house.ticker, house.ticker)
        house.hub.subscribe(guest, [house.ticker])
        assert house.ticker.subscribers == 1

    def test_begins_with_what_is_true_now(self, house: House) -> None:
        house.stage.closes(0)
        guest = house.guest(house.kline)
        assert guest.log_offsets == {house.kline.n: 1}
        house.beat()
        assert house.said() == b""

    def test_is_served_from_the_next_tick_on(self, house: House) -> None:
        house.beat()
        assert house.guest(house.ticker).hold_until_flush == house.hub.tick + 1

    def test_takes_the_session_out_of_step_until_then(self, house: House) -> None:
        guest = house.guest(house.ticker)
        house.beat()
        assert guest not in house.hub.tiers[0].behind
        house.hub.subscribe(guest, [house.kline])
        assert guest.cohort is None
        assert guest in house.hub.tiers[0].behind

    def test_of_a_channel_nobody_watched_begins_anew(self, house: House) -> None:
        first = house.guest(house.ticker)
        house.beat()
        house.stage.price("5")
        house.beat()
        house.hub.remove(first)
        house.stage.price("6")
        house.beat()
        house.guest(house.ticker)
        house.beat()
        house.stage.price("7")
        house.beat()
        assert house.said() == b" t0:*>7"


class TestUnsubscribe:
    def test_uncounts_and_forgets_the_channel(self, house: House) -> None:
        guest = house.guest(house.ticker, house.kline)
        guest.pending[house.kline.n] = None
        house.hub.unsubscribe(guest, [house.kline])
        assert (house.ticker.subscribers, house.kline.subscribers) == (1, 0)
        assert guest.subscription_set.ns == (0,)
        assert (guest.log_offsets, guest.pending) == ({}, {})

    def test_of_what_is_not_subscribed_changes_nothing(self, house: House) -> None:
        guest = house.guest(house.ticker)
        house.beat()
        house.hub.unsubscribe(guest, [house.kline])
        assert guest.cohort is not None
        assert house.kline.subscribers == 0


class TestRemove:
    def test_leaves_nothing_of_the_session(self, house: House) -> None:
        guest = house.guest(house.ticker, house.kline)
        house.beat()
        house.stage.stores(range(LOG + 3))
        house.beat()
        assert house.hub.to_resync == {guest}
        house.hub.remove(guest)
        assert not house.hub.to_resync
        assert (house.ticker.subscribers, house.kline.subscribers) == (0, 0)
        gone = weakref.ref(guest)
        del guest
        gc.collect()
        assert gone() is None

    def test_twice_is_no_error(self, house: House) -> None:
        guest = house.guest(house.ticker)
        house.hub.remove(guest)
        house.hub.remove(guest)
        assert house.ticker.subscribers == 0


class TestFallBehind:
    def test_keeps_tick_places_and_the_feeds_state(self, house: House) -> None:
        house.stage.closes(0)
        guest = house.guest(house.kline)
        house.hub.set_state(FeedState())
        house.beat()
        house.stage.closes(1)
        house.beat()
        house.hub.leave_sync(guest)
        assert (guest.served_at_flush, guest.log_offsets) == (2, {house.kline.n: 2})
        assert guest.feed_state is house.hub.state

    def test_changes_nothing_for_who_is_behind_already(self, house: House) -> None:
        guest = house.guest(house.kline)
        house.hub.leave_sync(guest)
        assert guest.log_offsets == {house.kline.n: 0}


class TestMove:
    def test_puts_the_session_into_another_tier(self, house: House) -> None:
        guest = house.guest(house.ticker)
        house.beat()
        house.hub.move(guest, 2)
        assert guest.cohort is None
        assert guest in house.hub.tiers[2].behind
        assert house.hub.tiers[0].sessions() == []

    def test_to_the_same_tier_leaves_it_in_step(self, house: House) -> None:
        guest = house.guest(house.ticker)
        house.beat()
        house.hub.move(guest, 0)
        assert guest.cohort is not None


def test_a_new_style_is_owed_everything_the_old_one_may_have_left_out(house: House) -> None:
    guest = house.guest(house.ticker, house.kline)
    house.hub.restyle(guest, CLOSED_ONLY)
    house.hub.restyle(guest, STYLE)
    assert guest.style == STYLE
    assert guest.pending.keys() == {0, 1}


class TestPublish:
    def test_refreshes_what_somebody_watches(self, house: House) -> None:
        house.guest(house.ticker)
        house.stage.price("5")
        house.stage.price("5", "BBBUSDT")
        house.beat()
        assert house.ticker.value is not None
        assert house.ticker.changed_at_flush == house.hub.tick
        assert house.kline.changed_at_flush == 0

    def test_serves_each_tier_at_its_own_beats(self, house: House) -> None:
        for tier in range(len(TIER_PERIODS)):
            house.guest(house.ticker, tier=tier)
        due = [[tier.period_flushes for tier in beat(house.stage, house.hub)] for _ in range(16)]
        assert due[0] == [1]
        assert due[3] == [1, 2, 4]
        assert due[15] == list(TIER_PERIODS)

    def test_does_not_bother_with_empty_tiers(self, house: House) -> None:
        house.beat()
        assert beat(house.stage, house.hub) == []

    def test_of_all_symbols_comes_every_so_often(self, house: House) -> None:
        everything = house.hub.market_channel(View.MINI, "!miniTicker@arr")
        house.stage.price("1")
        house.beat()
        house.guest(everything)
        house.beat()
        said = []
        for price in "23456":
            house.stage.price(price)
            house.beat()
            said.append(house.said())
        assert said == [b" a2:AAAUSDT=2", b"", b"", b" a2:AAAUSDT=5", b""]


class TestTorn:
    def test_is_who_has_a_channel_that_was_corrected(self, house: House) -> None:
        house.stage.stores([0, 1])
        has, has_not = house.guest(house.kline), house.guest(house.ticker)
        house.beat()
        house.stage.closes(1, trades=7, event_time_ms=house.kline.closed_since(0)[0].event_time_ms + 10_000_000)
        house.stage.closes(2)
        house.beat()
        assert house.hub.to_resync == {has}
        assert has.to_resync == {house.kline.n}
        assert has.log_offsets == {house.kline.n: 3}
        assert has_not.cohort is not None

    def test_is_nobody_when_nobody_watches(self, house: House) -> None:
        house.stage.stores([0, 2])
        house.beat()
        house.stage.closes(1)
        house.beat()
        assert not house.hub.to_resync

    def test_is_not_who_takes_no_corrections(self, house: House) -> None:
        house.stage.stores([0, 2])
        house.guest(house.hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m"))
        house.beat()
        house.stage.closes(1)
        house.beat()
        assert not house.hub.to_resync

    def test_is_who_would_miss_what_has_fallen_off_the_log(self, house: House) -> None:
        house.stage.stores([0])
        house.beat()
        quick, slow = house.guest(house.kline), house.guest(house.kline, tier=1)
        for _ in range(3):
            house.beat()
        for bar in range(1, LOG + 1):
            house.stage.closes(bar)
        house.beat()
        assert not house.hub.to_resync
        house.stage.closes(LOG + 1)
        house.beat()
        assert house.hub.to_resync == {quick, slow}

    def test_is_who_watched_before_the_first_kline_closed(self, house: House) -> None:
        # What the store had was told then; what closes now may have been among it.
        guest = house.guest(house.kline)
        house.beat()
        house.stage.closes(0)
        house.beat()
        assert house.hub.to_resync == {guest}
        house.hub.to_resync.clear()
        guest.to_resync.clear()
        house.stage.closes(1)
        house.beat()
        assert not house.hub.to_resync


class TestHeldBack:
    """A beat that holds a lane back leaves those in step without its news, and nobody may forget that."""

    def test_news_goes_out_when_its_lane_is_free_again(self, house: House) -> None:
        house.guest(house.ticker, house.kline)
        house.beat()
        house.stage.price("5")
        house.beat(TICKERS)
        assert house.said() == b" k1:*>5"
        house.beat()
        assert house.said() == b" t0:*>5"

    def test_is_owed_to_who_falls_behind_meanwhile(self, house: House) -> None:
        guest = house.guest(house.ticker)
        house.beat()
        house.stage.price("5")
        house.beat(TICKERS)
        house.hub.leave_sync(guest)
        assert guest.pending.keys() == {house.ticker.n}

    def test_is_owed_to_who_subscribes_meanwhile(self, house: House) -> None:
        house.guest(house.ticker)
        house.beat()
        house.stage.price("5")
        house.beat(TICKERS)
        assert house.guest(house.ticker).pending.keys() == {house.ticker.n}
        assert house.guest(house.kline).pending == {}

    def test_counts_as_changed_when_it_is_let_go(self, house: House) -> None:
        guest = house.guest(house.ticker)
        house.beat()
        house.stage.price("5")
        house.beat(TICKERS)
        changed = house.ticker.changed_at_flush
        house.beat(TICKERS)
        assert house.ticker.changed_at_flush == changed
        house.beat()
        assert house.ticker.changed_at_flush == house.hub.tick
        house.hub.leave_sync(guest)
        assert guest.pending == {}


def test_channels_with_news_are_counted_at_each_tick(house: House) -> None:
    house.guest(house.ticker, house.kline)
    house.beat()
    house.stage.price("5")
    house.beat()
    assert house.hub.news == 2, "the ticker, and the bar that it moves"
    house.beat()
    assert house.hub.news == 0
