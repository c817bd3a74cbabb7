"""The feed state row by row of its table, and the rules of recovery; time is a number."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.delivery.feed_state import (
    PRICES_SPREAD_S,
    PRICES_WAIT_S,
    TRANSITIONS,
    FeedState,
    FeedStateMachine,
    Input,
    StaleReason,
)
from tests.builders import T0

LIVE, DISCONNECTED, BACKFILLING, SILENT = StaleReason
STALE_S = 15.0
START_S = 1000.0


class Feed:
    """A machine and its clocks."""

    def __init__(self, stale_after_s: float = STALE_S) -> None:
        self.machine = FeedStateMachine(stale_after_s)
        self.now_s = START_S

    @property
    def now_ms(self) -> int:
        return T0 + round((self.now_s - START_S) * 1000)

    @property
    def reason(self) -> StaleReason:
        return self.machine.current.reason

    def connect(self) -> Feed:
        self.machine.connected(self.now_s, self.now_ms)
        return self

    def disconnect(self) -> bool:
        return self.machine.disconnected(self.now_s, self.now_ms)

    def backfill(self, newest_price_ms: int = 0) -> Feed:
        self.machine.backfill_done(self.now_s, self.now_ms, newest_price_ms)
        return self

    def message(self, *, price: bool = False) -> None:
        self.machine.message_received(self.now_s)
        if price:
            self.machine.price_usable(self.now_s)

    def wait(self, seconds: float) -> Feed:
        self.now_s += seconds
        self.machine.time_passed(self.now_s, self.now_ms)
        return self

    def wait_with_messages(self, seconds: float, *, price: bool = False, step_s: float = 0.25) -> None:
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            self.message(price=price)
            self.machine.time_passed(self.now_s, self.now_ms)


def live(stale_after_s: float = STALE_S) -> Feed:
    feed = Feed(stale_after_s).connect().backfill()
    assert feed.machine.current.live
    return feed


def silent() -> Feed:
    """Silent, with a last price of `STALE_S` + 1 ago."""
    feed = live()
    feed.message(price=True)
    feed.wait(STALE_S + 1)
    assert feed.reason is SILENT
    return feed


def backfilling() -> Feed:
    return Feed().connect()


def feed_in(reason: StaleReason) -> Feed:
    return {LIVE: live, DISCONNECTED: Feed, BACKFILLING: backfilling, SILENT: silent}[reason]()


def test_reasons_are_those_of_the_wire() -> None:
    assert [str(reason) for reason in StaleReason] == ["", "redis", "repair", "silent"]


@pytest.mark.parametrize(
    ("state", "is_live", "is_unread"),
    [
        pytest.param(FeedState(), True, False, id="live"),
        pytest.param(FeedState(DISCONNECTED, 5), False, True, id="disconnected"),
        pytest.param(FeedState(BACKFILLING, 5), False, True, id="backfilling"),
        pytest.param(FeedState(SILENT, 5), False, False, id="silent"),
    ],
)
def test_state_says_whether_data_is_live_and_whether_some_is_unread(
    state: FeedState, is_live: bool, is_unread: bool
) -> None:
    assert (state.live, state.unread) == (is_live, is_unread)


def test_states_are_compared_by_identity() -> None:
    assert FeedState(DISCONNECTED, 5) != FeedState(DISCONNECTED, 5)


def test_a_machine_starts_disconnected() -> None:
    feed = Feed()
    assert (feed.reason, feed.machine.current.since_ms, feed.machine.last_message_s) == (DISCONNECTED, 0, 0.0)


# Connected


@pytest.mark.parametrize("reason", [DISCONNECTED, BACKFILLING, SILENT])
def test_stale_data_backfills_once_connected_and_is_stale_since_before(reason: StaleReason) -> None:
    feed = feed_in(reason)
    before = feed.machine.current
    feed.now_s += 3
    feed.connect()
    assert feed.reason is BACKFILLING
    assert feed.machine.current is not before
    assert feed.machine.current.since_ms == before.since_ms


def test_live_data_stays_live_while_another_source_takes_over() -> None:
    feed = live()
    before = feed.machine.current
    assert feed.connect().machine.current is before


# Disconnected


@pytest.mark.parametrize("reason", [LIVE, BACKFILLING, SILENT])
def test_a_lost_connection_makes_data_stale_from_now(reason: StaleReason) -> None:
    feed = feed_in(reason)
    feed.now_s += 3
    assert feed.disconnect()
    assert (feed.reason, feed.machine.current.since_ms) == (DISCONNECTED, feed.now_ms)


def test_a_second_disconnect_changes_nothing() -> None:
    feed = live()
    feed.disconnect()
    before = feed.machine.current
    feed.now_s += 3
    assert not feed.disconnect()
    assert feed.machine.current is before


# Backfill done


@pytest.mark.parametrize("reason", [DISCONNECTED, BACKFILLING, SILENT])
@pytest.mark.parametrize("newest_price_ms", [T0 + 20_000 - 15_000, 0], ids=["fresh-price", "no-price-known"])
def test_data_is_live_after_a_backfill_with_fresh_prices(reason: StaleReason, newest_price_ms: int) -> None:
    feed = feed_in(reason)
    feed.now_s = START_S + 20
    if reason is SILENT and not newest_price_ms:
        feed.message(price=True)
    assert feed.backfill(newest_price_ms).machine.current.live
    assert feed.machine.current.since_ms == 0


@pytest.mark.parametrize("reason", [DISCONNECTED, BACKFILLING, SILENT])
def test_data_is_silent_since_its_last_price_after_a_backfill_with_old_prices(reason: StaleReason) -> None:
    feed = feed_in(reason)
    feed.now_s = START_S + 40
    feed.backfill(T0 + 10_000)
    assert (feed.reason, feed.machine.current.since_ms) == (SILENT, T0 + 10_000)


def test_live_data_is_not_touched_by_a_backfill() -> None:
    feed = live()
    before = feed.machine.current
    feed.now_s += 5
    assert feed.backfill(T0 - 60_000).machine.current is before


def test_a_stored_price_counts_as_the_last_message_of_a_feed_that_sent_none() -> None:
    feed = Feed().connect().backfill(T0 - 5_000)
    assert feed.machine.last_message_s == START_S - 5
    assert feed.wait(STALE_S - 6).machine.current.live
    assert feed.wait(2).reason is SILENT


def test_a_newer_message_counts_rather_than_the_stored_price() -> None:
    feed = Feed().connect()
    feed.message()
    assert feed.backfill(T0 - 5_000).machine.last_message_s == START_S


def test_a_price_slightly_in_the_future_counts_as_one_of_now() -> None:
    assert Feed().connect().backfill(T0 + 999).machine.last_message_s == START_S


def test_a_price_far_in_the_future_says_nothing() -> None:
    feed = Feed().connect().backfill(T0 + 1000)
    assert feed.machine.current.live
    assert feed.machine.last_message_s == START_S


def test_data_without_any_message_after_a_backfill_is_silent_at_once_where_the_last_is_old() -> None:
    feed = Feed()
    feed.message()
    feed.now_s += STALE_S + 1
    feed.connect().backfill()
    assert (feed.reason, feed.machine.current.since_ms) == (SILENT, T0)


# Time passes


def test_live_data_is_silent_since_the_last_message_once_none_comes() -> None:
    feed = live()
    feed.now_s += 2
    feed.message()
    assert feed.wait(STALE_S).machine.current.live
    assert feed.wait(0.01).reason is SILENT
    assert feed.machine.current.since_ms == T0 + 2000


@pytest.mark.parametrize("reason", [DISCONNECTED, BACKFILLING])
def test_time_alone_changes_no_state_that_waits_for_the_source(reason: StaleReason) -> None:
    feed = feed_in(reason)
    before = feed.machine.current
    assert feed.wait(1000).machine.current is before


def test_silent_data_stays_silent_without_messages() -> None:
    feed = silent()
    before = feed.machine.current
    assert feed.wait(1000).machine.current is before


def test_silent_data_is_live_once_fresh_prices_have_come_for_a_while() -> None:
    feed = silent()
    feed.wait_with_messages(PRICES_SPREAD_S, price=True)
    assert feed.reason is SILENT
    feed.wait_with_messages(0.25, price=True)
    assert feed.machine.current.live


def test_prices_need_no_longer_than_half_of_a_short_limit() -> None:
    feed = live(0.4)
    feed.message(price=True)
    feed.wait(1)
    feed.wait_with_messages(0.1, price=True, step_s=0.1)
    assert feed.reason is SILENT
    feed.wait_with_messages(0.3, price=True, step_s=0.1)
    assert feed.machine.current.live


def test_klines_alone_do_not_end_the_silence_before_the_wait_for_prices_ends() -> None:
    feed = silent()
    feed.wait_with_messages(PRICES_WAIT_S)
    assert feed.reason is SILENT
    feed.wait_with_messages(0.5)
    assert feed.machine.current.live


def test_a_source_that_never_sent_a_price_is_live_with_its_first_message() -> None:
    feed = live().wait(STALE_S + 1)
    assert feed.reason is SILENT
    feed.message()
    assert feed.wait(0.1).machine.current.live


def test_a_second_silence_waits_for_prices_anew() -> None:
    feed = silent()
    feed.wait_with_messages(PRICES_SPREAD_S + 0.25, price=True)
    feed.wait(STALE_S + 1)
    assert feed.reason is SILENT
    feed.wait_with_messages(PRICES_SPREAD_S, price=True)
    assert feed.reason is SILENT


def test_the_limit_can_change_while_the_process_runs() -> None:
    feed = live()
    feed.machine.configure(1.0)
    assert feed.wait(1.5).reason is SILENT


def test_pairs_without_a_row_change_nothing() -> None:
    for reason, given in product(StaleReason, Input):
        if (reason, given) in TRANSITIONS:
            continue
        feed = feed_in(reason)
        before = feed.machine.current
        match given:
            case Input.CONNECTED:
                feed.connect()
            case Input.DISCONNECTED:
                assert not feed.disconnect()
            case Input.BACKFILL_DONE:
                feed.backfill(T0 - 60_000)
            case Input.TIME_PASSED:
                feed.wait(1000)
        assert feed.machine.current is before


def test_another_limit_holds_from_the_next_judgement_on() -> None:
    feed = live()
    feed.message(price=True)
    feed.machine.configure(2 * STALE_S)
    assert feed.wait(STALE_S + 1).reason is LIVE
    feed.machine.configure(STALE_S)
    assert feed.wait(0).reason is SILENT


def test_the_machine_says_whether_it_is_live() -> None:
    assert live().machine.is_live()
    assert not silent().machine.is_live()
