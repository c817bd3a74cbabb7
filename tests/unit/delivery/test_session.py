from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gateway.delivery.channel import Lane
from gateway.delivery.commands import RESYNC, SnapshotRequest
from gateway.delivery.hub import Hub
from gateway.delivery.session import CONTROL_MAX_BYTES, Session
from gateway.delivery.staleness import FeedState, Staleness, StaleReason
from gateway.delivery.subscription_set import Cohort
from tests.builders import MINUTE_MS, T0
from tests.fakes import FakeSocket
from tests.unit.delivery.samples import CLOSED_ONLY, LOG, STYLE, SampleMarket, flush

if TYPE_CHECKING:
    from gateway.delivery.channel import Channel
    from gateway.delivery.dialect import Style

PLENTY = sys.maxsize
NOW_MS = 5


class Rig:
    """A session that is catching up, with a ticker (0) and a kline (1) of AAAUSDT; both have a value."""

    def __init__(self, *, style: Style = STYLE) -> None:
        self.samples = SampleMarket()
        self.samples.closes(0)
        self.samples.forms(1, "101")
        self.price("5")
        self.hub: Hub = Hub(self.samples.market, LOG)
        self.hub.set_feed_state(FeedState())
        self.ticker = self.hub.ticker_channel("AAAUSDT")
        self.kline = self.hub.kline_channel("AAAUSDT", "1m")
        self.session = Session(FakeSocket(), style)
        self.hub.add(self.session)
        self.subscribe(self.ticker, self.kline)

    def price(self, last: str, symbol: str = "AAAUSDT") -> None:
        """Within kline 1, after the exchange has published that."""
        self.samples.price(last, symbol, T0 + 3 * MINUTE_MS // 2)

    def subscribe(self, *channels: Channel) -> None:
        """Subscribe, and take what is pending because of that."""
        self.hub.subscribe(self.session, channels)
        self.session.note_feed_state(self.hub.feed_state)
        self.flush()
        self.take()

    def flush(self, *held: Lane) -> None:
        flush(self.samples, self.hub, frozenset(held))

    def take(self, budget_bytes: int = PLENTY) -> bytes:
        taken = self.session.take(self.hub.published, budget_bytes, NOW_MS, self.hub.group_of(self.session).held_lanes)
        if taken.overrun:
            self.hub.queue_snapshots(self.session)
        return taken.frames

    @property
    def caught_up(self) -> bool:
        return self.session.is_caught_up(self.hub.published)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_nothing_is_pending_when_nothing_has_changed(rig: Rig) -> None:
    rig.flush()
    assert rig.take() == b""
    assert rig.caught_up


def test_after_skipped_flushes_the_newest_values_go_out_in_full(rig: Rig) -> None:
    for close in ("102", "103", "104"):
        rig.price(close)
        rig.flush()
    assert rig.take() == b"[ k1:*>104 t0:*>104 ]"
    assert rig.caught_up
    rig.flush()
    assert rig.take() == b""


def test_a_flush_at_which_nothing_is_taken_leaves_the_session_catching_up(rig: Rig) -> None:
    rig.take()
    rig.flush()
    assert not rig.caught_up


def test_each_closed_kline_comes_once_in_order_before_the_forming_one(rig: Rig) -> None:
    rig.samples.closes(1)
    rig.flush()
    rig.samples.closes(2)
    rig.samples.forms(3, "103")
    rig.flush()
    assert rig.take() == b"[ c1:1 c1:2 k1:*>103 ]"
    rig.samples.closes(3)
    rig.flush()
    assert rig.take() == b"[ c1:3 ]"


def test_with_the_closed_only_style_nothing_else_is_pending() -> None:
    rig = Rig(style=CLOSED_ONLY)
    rig.samples.closes(1)
    rig.price("6")
    rig.flush()
    assert rig.take() == b"[ c1:1 ]"
    assert rig.caught_up


def test_a_new_style_sends_all_values_anew(rig: Rig) -> None:
    rig.session.set_style(CLOSED_ONLY)
    rig.session.set_style(STYLE)
    rig.flush()
    assert rig.take() == b"[ k1:*>5 t0:*>5 ]"


def test_a_new_style_tells_the_states_anew_while_a_lane_is_stale() -> None:
    rig = Rig(style=CLOSED_ONLY)
    rig.hub.set_feed_state(FeedState(StaleReason.PRICES, 7, closed=Staleness()))
    rig.flush()
    assert rig.take() == b"<0 prices>", "the kline channel shows closed klines only"
    rig.session.set_style(STYLE)
    rig.flush()
    assert rig.take().startswith(b"<1,0 prices>")


class TestSync:
    def test_a_session_in_sync_keeps_no_offsets_of_its_own_and_gets_them_back_when_it_leaves(self, rig: Rig) -> None:
        session = rig.session
        assert session.log_offsets == {rig.kline.n: 1}
        cohort = Cohort(STYLE, session.subscription_set, rig.hub.feed_state, rig.hub.flush_number, 0.0)
        session.enter_sync(cohort)
        assert (session.cohort, session.log_offsets) == (cohort, {})
        state = FeedState(StaleReason.DISCONNECTED, 7)
        session.leave_sync(3, {rig.kline.n: 2}, state)
        assert (session.cohort, session.served_at_flush, session.log_offsets) == (None, 3, {rig.kline.n: 2})
        assert session.feed_state is state


class TestControl:
    def test_a_frame_about_the_load_is_sent_once(self, rig: Rig) -> None:
        rig.session.announce_load(b"<load>")
        assert rig.take().startswith(b"<load>")
        assert rig.take() == b""

    def test_replies_go_before_feed_state_before_notices_before_updates(self, rig: Rig) -> None:
        rig.session.queue_control(b"<reply>")
        rig.session.queue_control(b"<another>")
        rig.session.announce_interval(200, "slow_client")
        rig.hub.set_feed_state(FeedState(StaleReason.DISCONNECTED, 7))
        rig.price("6")
        rig.flush()
        assert rig.take() == b"<reply><another><1,0 redis><200 slow_client>[ k1:*>6 t0:*>6 ]"
        assert rig.take() == b""

    def test_the_feed_state_is_not_sent_to_a_session_without_channels(self, rig: Rig) -> None:
        rig.hub.unsubscribe(rig.session, [rig.ticker, rig.kline])
        rig.hub.set_feed_state(FeedState(StaleReason.DISCONNECTED, 7))
        rig.flush()
        assert rig.take() == b""

    def test_a_feed_state_that_changes_nothing_for_its_channels_is_not_sent(self, rig: Rig) -> None:
        rig.hub.unsubscribe(rig.session, [rig.ticker])
        rig.hub.set_feed_state(FeedState())
        rig.flush()
        assert rig.take() == b""

    def test_only_the_channels_of_a_stale_lane_are_told(self, rig: Rig) -> None:
        rig.hub.set_feed_state(FeedState(closed=Staleness(StaleReason.KLINES, 7)))
        rig.flush()
        assert rig.take() == b"<1 klines>"

    def test_waiting_replies_keep_the_session_catching_up(self, rig: Rig) -> None:
        rig.flush()
        rig.take()
        rig.session.queue_control(b"<reply>")
        assert not rig.caught_up

    def test_an_allowance_keeps_the_session_catching_up(self, rig: Rig) -> None:
        rig.flush()
        rig.take()
        rig.session.pace.limit_bytes(60_000)
        assert not rig.caught_up

    def test_only_replies_go_out_while_the_session_is_held(self, rig: Rig) -> None:
        rig.price("6")
        rig.flush()
        rig.session.subscribe(rig.session.subscription_set, {}, rig.hub.flush_number + 1)
        rig.session.queue_control(b"<subscribed>")
        assert rig.take() == b"<subscribed>"
        assert not rig.caught_up
        rig.flush()
        assert rig.take() == b"[ k1:*>6 t0:*>6 ]"

    def test_a_session_that_is_held_is_not_caught_up_after_its_take(self, rig: Rig) -> None:
        rig.flush()
        rig.take()
        rig.session.subscribe(rig.session.subscription_set, {}, rig.hub.flush_number + 1)
        assert not rig.caught_up


class TestBudget:
    """Fragments are 6 bytes (` c1:1`, with the space) or more."""

    def test_closed_klines_are_cut_by_the_budget_but_never_overtaken(self, rig: Rig) -> None:
        for number in (1, 2, 3):
            rig.samples.closes(number)
        rig.price("6")
        rig.flush()
        assert rig.take(6) == b"[ c1:1 c1:2 ]"
        assert not rig.caught_up
        assert rig.take(1) == b"[ c1:3 ]"
        assert rig.take() == b"[ t0:*>6 ]"
        assert rig.caught_up

    def test_pending_closed_klines_keep_the_session_catching_up(self) -> None:
        rig = Rig(style=CLOSED_ONLY)
        for number in (1, 2):
            rig.samples.closes(number)
        rig.flush()
        assert rig.take(1) == b"[ c1:1 ]"
        assert not rig.caught_up
        assert rig.take(1) == b"[ c1:2 ]"
        assert rig.caught_up

    def test_one_update_always_goes_out(self, rig: Rig) -> None:
        rig.session.queue_control(b"<a long reply>")
        rig.price("6")
        rig.flush()
        assert rig.take(3) == b"<a long reply>[ k1:*>6 ]"
        assert rig.take(3) == b"[ t0:*>6 ]"
        assert rig.caught_up

    def test_klines_go_before_tickers_and_the_longest_wait_goes_first(self, rig: Rig) -> None:
        others = [rig.hub.ticker_channel(symbol) for symbol in ("BBBUSDT", "CCCUSDT")]
        rig.subscribe(*others)
        for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT"):
            rig.price("6", symbol)
        rig.flush()
        assert rig.take(1) == b"[ k1:*>6 ]"
        assert rig.take(1) == b"[ t0:*>6 ]"
        rig.price("7")
        rig.flush()
        # AAAUSDT has changed again, but the others have waited.
        assert rig.take(1) == b"[ k1:*>7 ]"
        assert rig.take(1) == b"[ t2:*>6 ]"
        assert rig.take(1) == b"[ t3:*>6 ]"
        assert rig.take(1) == b"[ t0:*>7 ]"
        assert rig.caught_up

    def test_a_channel_without_a_value_costs_nothing(self, rig: Rig) -> None:
        silent = rig.hub.ticker_channel("DDDUSDT")
        rig.subscribe(silent)
        rig.session.add_pending([silent.n, rig.ticker.n])
        rig.flush()
        assert rig.take(1) == b"[ t0:*>5 ]"
        assert rig.caught_up


class TestHeldLanes:
    def test_values_of_a_held_lane_stay_pending(self, rig: Rig) -> None:
        rig.price("6")
        rig.flush(Lane.TICKER)
        assert rig.take() == b"[ k1:*>6 ]"
        assert not rig.caught_up
        rig.flush()
        assert rig.take() == b"[ t0:*>6 ]"
        assert rig.caught_up

    def test_closed_klines_are_never_held(self, rig: Rig) -> None:
        rig.samples.closes(1)
        rig.samples.forms(2, "102")
        rig.flush(Lane.TICKER, Lane.KLINE)
        assert rig.take() == b"[ c1:1 ]"
        rig.flush()
        assert rig.take() == b"[ k1:*>102 ]"


class TestResync:
    def test_is_marked_when_the_log_no_longer_holds_what_is_pending(self, rig: Rig) -> None:
        rig.samples.stores(range(LOG + 2))
        rig.hub.publish(rig.samples.market.take_changes())
        assert rig.take() == b""
        assert rig.session.snapshots_due == {rig.kline.n: RESYNC}
        assert rig.hub.take_snapshots_due() == {rig.session}
        assert not rig.caught_up

    def test_holds_only_its_channel_back_until_it_goes_out(self, rig: Rig) -> None:
        rig.hub.mark_for_resync(rig.session, rig.kline)
        rig.samples.closes(1)
        rig.price("6")
        rig.flush()
        assert rig.take() == b"[ t0:*>6 ]"
        rig.hub.note_snapshot(rig.session, rig.kline)
        rig.samples.closes(2)
        rig.flush()
        assert rig.take().startswith(b"[ c1:2 "), "the snapshot has the one that closed before"

    def test_is_not_marked_for_strict_channels_but_what_is_lacking_is_noted(self, rig: Rig) -> None:
        strict = rig.hub.strict_channel("AAAUSDT", "1m", "aaausdt@kline_1m")
        rig.hub.unsubscribe(rig.session, [rig.kline, rig.ticker])
        rig.subscribe(strict)
        for number in range(1, LOG + 3):
            rig.samples.closes(number)
            rig.flush()
        lacked_before = rig.session.lacks_closed
        assert rig.take() == b"[ c2:3 c2:4 c2:5 c2:6 ]"
        assert (lacked_before, rig.session.lacks_closed) == (False, True)
        assert rig.session.snapshots_due == {}


class TestPast:
    def test_a_hidden_value_is_not_sent_until_it_is_shown(self, rig: Rig) -> None:
        rig.session.leave_out(rig.kline.n, 0, hidden=True)
        rig.samples.forms(2, "102")
        rig.samples.closes(1)
        rig.flush()
        assert rig.take() == b"[ c1:1 ]"
        hidden = rig.caught_up
        rig.session.leave_out(rig.kline.n, 0, hidden=False)
        assert (hidden, rig.caught_up) == (True, False)
        rig.flush()
        assert rig.take() == b"[ k1:*>102 ]"

    def test_showing_what_was_not_hidden_sends_nothing(self, rig: Rig) -> None:
        rig.session.leave_out(rig.kline.n, 0, hidden=False)
        rig.flush()
        assert rig.take() == b""

    def test_closed_klines_can_be_skipped(self, rig: Rig) -> None:
        rig.samples.closes(1)
        rig.samples.closes(2)
        rig.flush()
        rig.session.leave_out(rig.kline.n, 2, hidden=False)
        assert rig.take() == b"[ c1:2 ]"

    def test_skipping_never_goes_back(self, rig: Rig) -> None:
        rig.session.leave_out(rig.kline.n, 0, hidden=False)
        rig.flush()
        assert rig.take() == b""

    def test_unsubscribing_forgets_what_was_hidden(self, rig: Rig) -> None:
        rig.session.leave_out(rig.kline.n, 0, hidden=True)
        rig.hub.unsubscribe(rig.session, [rig.kline])
        assert rig.session.hidden == frozenset()


def test_nothing_is_kept_of_a_channel_after_unsubscribing(rig: Rig) -> None:
    rig.hub.unsubscribe(rig.session, [rig.kline])
    assert rig.session.log_offsets == {}


def test_what_a_session_holds_does_not_grow_while_it_takes_nothing(rig: Rig) -> None:
    def held() -> tuple[int, ...]:
        session = rig.session
        return len(session.log_offsets), len(session.pending), len(session.control), len(session.snapshots_due)

    before = held()
    for number in range(1, 4 * LOG):
        rig.samples.closes(number)
        rig.price(str(number))
        rig.flush()
    assert held() == before


def test_updates_and_closed_klines_taken_are_counted(rig: Rig) -> None:
    rig.samples.closes(1)
    rig.price("7")
    rig.flush()
    taken = rig.session.take(rig.hub.published, PLENTY, NOW_MS)
    assert (taken.updates, taken.closed) == (2, 1), "a closed kline and a ticker"
    rig.flush()
    taken = rig.session.take(rig.hub.published, PLENTY, NOW_MS)
    assert (taken.updates, taken.closed) == (0, 0)


class TestReplies:
    def test_too_many_that_wait_pause_the_commands_until_they_are_written(self) -> None:
        socket = FakeSocket()
        session = Session(socket, STYLE)
        session.queue_control(b"x" * CONTROL_MAX_BYTES)
        session.pause_commands()
        assert not socket.paused
        session.queue_control(b"x")
        session.pause_commands()
        session.pause_commands()
        assert (socket.paused, session.commands_paused) == (True, True)
        assert len(session.take_control()) == CONTROL_MAX_BYTES + 1
        session.resume_commands()
        assert (socket.paused, session.commands_paused) == (False, False)

    def test_resuming_commands_that_are_not_paused_changes_nothing(self) -> None:
        socket = FakeSocket()
        socket.pause()
        Session(socket, STYLE).resume_commands()
        assert socket.paused, "the socket is paused by somebody else"


def test_the_feed_state_of_a_snapshot_does_not_replace_one_that_was_sent(rig: Rig) -> None:
    state = rig.session.feed_state
    rig.session.note_feed_state(FeedState(StaleReason.DISCONNECTED, 7))
    assert rig.session.feed_state is state


def test_the_end_of_a_connection_is_noted(rig: Rig) -> None:
    rig.session.end_at(7.0)
    assert rig.session.ends_s == 7.0


def test_snapshots_are_due_in_the_order_of_asking_and_one_can_be_put_off(rig: Rig) -> None:
    other = rig.hub.kline_channel("BBBUSDT", "1m")
    rig.subscribe(other)
    for channel in (rig.kline, other):
        rig.session.want_snapshot(channel.n, SnapshotRequest(10))
    rig.session.mark_for_resync(other.n, 0)
    assert rig.session.snapshots_due[other.n] == SnapshotRequest(10), "it covers the resync"
    rig.session.put_off_snapshot(rig.kline.n)
    rig.session.put_off_snapshot(rig.ticker.n)
    assert list(rig.session.snapshots_due) == [other.n, rig.kline.n]


def test_the_depth_of_a_channel_is_the_most_that_was_sent_and_what_its_resync_has(rig: Rig) -> None:
    for klines in (600, 20):
        rig.session.note_depth(rig.kline.n, klines)
    rig.session.mark_for_resync(rig.kline.n, 0)
    assert rig.session.snapshots_due[rig.kline.n].history == 600
