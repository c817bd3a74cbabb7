from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import Lane
from gateway.delivery.feed_state import FeedState, StaleReason
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.throttle import Allowance
from tests.builders import MINUTE_MS, T0
from tests.fakes import FakeSocket
from tests.unit.delivery.stage import CLOSED_ONLY, LOG, STYLE, Stage, beat

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel
    from gateway.delivery.dialect import Style

PLENTY = sys.maxsize
NOW_MS = 5


class Desk:
    """One session of a hub, behind, with a ticker (0) and a kline (1) of AAAUSDT; both have a value."""

    def __init__(self, *, style: Style = STYLE) -> None:
        self.stage = Stage()
        self.stage.closes(0)
        self.stage.forms(1, "101")
        self.price("5")
        self.hub: Hub[Session] = Hub(self.stage.market, LOG)
        self.hub.state = FeedState()
        self.ticker = self.hub.ticker_channel("AAAUSDT")
        self.kline = self.hub.kline_channel("AAAUSDT", "1m")
        self.session = Session(FakeSocket(), style)
        self.hub.add(self.session)
        self.subscribe(self.ticker, self.kline)

    def price(self, last: str, symbol: str = "AAAUSDT") -> None:
        """In bar 1, after the exchange has spoken of it."""
        self.stage.price(last, symbol, T0 + 3 * MINUTE_MS // 2)

    def subscribe(self, *channels: Channel) -> None:
        """And have been told so."""
        self.hub.subscribe(self.session, channels)
        self.session.feed_state = self.hub.state
        self.session.hold_until_flush = 0
        self.beat()
        self.session.take(self.hub, PLENTY, NOW_MS)

    def beat(self, *held: Lane) -> None:
        beat(self.stage, self.hub, frozenset(held))

    def take(self, budget_bytes: int = PLENTY) -> bytes:
        return self.session.take(self.hub, budget_bytes, NOW_MS)

    @property
    def caught_up(self) -> bool:
        return self.session.is_caught_up(self.hub)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_nothing_is_owed_when_nothing_happened(desk: Desk) -> None:
    desk.beat()
    assert desk.take() == b""
    assert desk.caught_up


def test_the_newest_values_are_owed_whole_however_many_beats_were_missed(desk: Desk) -> None:
    for close in ("102", "103", "104"):
        desk.price(close)
        desk.beat()
    assert desk.take() == b"[ k1:*>104 t0:*>104 ]"
    assert desk.caught_up
    desk.beat()
    assert desk.take() == b""


def test_a_beat_at_which_nothing_was_taken_leaves_the_session_behind(desk: Desk) -> None:
    desk.take()
    desk.beat()
    assert not desk.caught_up


def test_every_closed_kline_comes_once_in_order_and_before_the_bar_after_it(desk: Desk) -> None:
    desk.stage.closes(1)
    desk.beat()
    desk.stage.closes(2)
    desk.stage.forms(3, "103")
    desk.beat()
    assert desk.take() == b"[ c1:1 c1:2 k1:*>103 ]"
    desk.stage.closes(3)
    desk.beat()
    assert desk.take() == b"[ c1:3 ]"


def test_who_wants_closed_klines_only_is_owed_nothing_else() -> None:
    desk = Desk(style=CLOSED_ONLY)
    desk.stage.closes(1)
    desk.price("6")
    desk.beat()
    assert desk.take() == b"[ c1:1 ]"
    assert desk.caught_up


class TestControl:
    def test_what_everybody_is_told_of_the_load_is_said_once(self, desk: Desk) -> None:
        desk.session.load_notice = b"<load>"
        assert desk.take().startswith(b"<load>")
        assert desk.session.load_notice == b""

    def test_replies_go_first_then_the_feeds_state_then_notices_then_news(self, desk: Desk) -> None:
        desk.session.control = [b"<reply>", b"<another>"]
        desk.session.notice = (200, "slow_client")
        desk.hub.set_state(FeedState(StaleReason.DISCONNECTED, 7))
        desk.price("6")
        desk.beat()
        assert desk.take() == b"<reply><another><1,0 redis><200 slow_client>[ k1:*>6 t0:*>6 ]"
        assert desk.take() == b""

    def test_the_feeds_state_concerns_only_who_has_channels(self, desk: Desk) -> None:
        desk.hub.unsubscribe(desk.session, [desk.ticker, desk.kline])
        desk.hub.set_state(FeedState(StaleReason.DISCONNECTED, 7))
        desk.beat()
        assert desk.take() == b""

    def test_replies_that_wait_keep_the_session_behind(self, desk: Desk) -> None:
        desk.beat()
        desk.take()
        desk.session.control.append(b"<reply>")
        assert not desk.caught_up

    def test_an_allowance_keeps_the_session_behind(self, desk: Desk) -> None:
        desk.beat()
        desk.take()
        desk.session.allowance = Allowance(60_000)
        assert not desk.caught_up

    def test_before_a_subscription_counts_only_replies_go_out(self, desk: Desk) -> None:
        desk.price("6")
        desk.beat()
        desk.session.hold_until_flush = desk.hub.tick + 1
        desk.session.control.append(b"<subscribed>")
        assert desk.take() == b"<subscribed>"
        assert not desk.caught_up
        desk.beat()
        assert desk.take() == b"[ k1:*>6 t0:*>6 ]"

    def test_who_was_served_at_this_tick_already_is_still_held_until_the_next(self, desk: Desk) -> None:
        desk.beat()
        desk.take()
        desk.session.hold_until_flush = desk.hub.tick + 1
        assert not desk.caught_up


class TestBudget:
    """Fragments are 6 bytes (` c1:1`, with the space) or more."""

    def test_closed_klines_are_cut_but_never_overtaken(self, desk: Desk) -> None:
        for bar in (1, 2, 3):
            desk.stage.closes(bar)
        desk.price("6")
        desk.beat()
        assert desk.take(6) == b"[ c1:1 c1:2 ]"
        assert not desk.caught_up
        assert desk.take(1) == b"[ c1:3 ]"
        assert desk.take() == b"[ t0:*>6 ]"
        assert desk.caught_up

    def test_closed_klines_alone_keep_the_session_behind_too(self) -> None:
        desk = Desk(style=CLOSED_ONLY)
        for bar in (1, 2):
            desk.stage.closes(bar)
        desk.beat()
        assert desk.take(1) == b"[ c1:1 ]"
        assert not desk.caught_up
        assert desk.take(1) == b"[ c1:2 ]"
        assert desk.caught_up

    def test_one_piece_of_news_always_goes_out(self, desk: Desk) -> None:
        desk.session.control.append(b"<a long reply>")
        desk.price("6")
        desk.beat()
        assert desk.take(3) == b"<a long reply>[ k1:*>6 ]"
        assert desk.take(3) == b"[ t0:*>6 ]"
        assert desk.caught_up

    def test_klines_go_before_tickers_and_what_waited_longest_goes_first(self, desk: Desk) -> None:
        others = [desk.hub.ticker_channel(symbol) for symbol in ("BBBUSDT", "CCCUSDT")]
        desk.subscribe(*others)
        for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT"):
            desk.price("6", symbol)
        desk.beat()
        assert desk.take(1) == b"[ k1:*>6 ]"
        assert desk.take(1) == b"[ t0:*>6 ]"
        desk.price("7")
        desk.beat()
        # AAAUSDT has news again, but the others have waited.
        assert desk.take(1) == b"[ k1:*>7 ]"
        assert desk.take(1) == b"[ t2:*>6 ]"
        assert desk.take(1) == b"[ t3:*>6 ]"
        assert desk.take(1) == b"[ t0:*>7 ]"
        assert desk.caught_up

    def test_a_channel_without_a_value_costs_nothing(self, desk: Desk) -> None:
        silent = desk.hub.ticker_channel("DDDUSDT")
        desk.subscribe(silent)
        desk.session.pending = {silent.n: None, desk.ticker.n: None}
        desk.beat()
        assert desk.take(1) == b"[ t0:*>5 ]"
        assert desk.caught_up


class TestHeldLanes:
    def test_values_of_a_held_lane_stay_owed(self, desk: Desk) -> None:
        desk.price("6")
        desk.beat(Lane.TICKER)
        assert desk.take() == b"[ k1:*>6 ]"
        assert not desk.caught_up
        desk.beat()
        assert desk.take() == b"[ t0:*>6 ]"
        assert desk.caught_up

    def test_closed_klines_are_never_held(self, desk: Desk) -> None:
        desk.stage.closes(1)
        desk.stage.forms(2, "102")
        desk.beat(Lane.TICKER, Lane.KLINE)
        assert desk.take() == b"[ c1:1 ]"
        desk.beat()
        assert desk.take() == b"[ k1:*>102 ]"


class TestTorn:
    def test_a_place_that_has_fallen_off_the_log_asks_for_a_resync(self, desk: Desk) -> None:
        desk.stage.stores(range(LOG + 2))
        desk.hub.publish(desk.stage.market.take_changes())
        assert desk.take() == b""
        assert desk.session.to_resync == {desk.kline.n}
        assert desk.hub.to_resync == {desk.session}
        assert not desk.caught_up

    def test_until_it_comes_nothing_closed_is_told_and_the_rest_goes_on(self, desk: Desk) -> None:
        desk.session.to_resync.add(desk.kline.n)
        desk.stage.closes(1)
        desk.price("6")
        desk.beat()
        assert desk.take() == b"[ t0:*>6 ]"

    def test_who_knows_no_resync_goes_on_with_the_oldest_there_is(self, desk: Desk) -> None:
        strict = desk.hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
        desk.hub.unsubscribe(desk.session, [desk.kline, desk.ticker])
        desk.subscribe(strict)
        for bar in range(1, LOG + 3):
            desk.stage.closes(bar)
            desk.beat()
        assert desk.take() == b"[ c2:3 c2:4 c2:5 c2:6 ]"
        assert desk.session.to_resync == set()


def test_nothing_is_kept_of_a_channel_that_was_given_up(desk: Desk) -> None:
    desk.hub.unsubscribe(desk.session, [desk.kline])
    assert desk.session.log_offsets == {}


def test_what_a_session_holds_does_not_grow_with_what_it_misses(desk: Desk) -> None:
    def held() -> tuple[int, ...]:
        session = desk.session
        return len(session.log_offsets), len(session.pending), len(session.control), len(session.to_resync)

    before = held()
    for bar in range(1, 4 * LOG):
        desk.stage.closes(bar)
        desk.price(str(bar))
        desk.beat()
    assert held() == before


def test_what_was_given_is_told_by_number(desk: Desk) -> None:
    desk.stage.closes(1)
    desk.price("7")
    desk.beat()
    desk.take()
    assert desk.session.sent == (2, 1), "a closed kline and a ticker"
    desk.beat()
    desk.take()
    assert desk.session.sent == (0, 0)
