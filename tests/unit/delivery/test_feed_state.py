"""The feed state row by row of its table, and the rules of recovery; time is a number."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from gateway.delivery.feed_state import PRICES_WAIT_S, TRANSITIONS, FeedStateMachine, Input, State
from gateway.delivery.known_prices import PRICES_SPREAD_S
from gateway.delivery.staleness import FeedState, Staleness, StaleReason, SymbolStates
from tests.builders import MINUTE_MS, T0

if TYPE_CHECKING:
    from collections.abc import Callable

STALE_S, GRACE_S = 15.0, 2.0
START_S = 1000.0
OVERDUE_S = 60 + STALE_S + GRACE_S
"""Age of the last closed kline from which on the next one is overdue."""


class Feed:
    """A machine and its clocks."""

    def __init__(self, stale_after_s: float = STALE_S) -> None:
        self.machine = FeedStateMachine(stale_after_s, GRACE_S)
        self.now_s = START_S
        self.closed_ms = T0

    @property
    def now_ms(self) -> int:
        return T0 + round((self.now_s - START_S) * 1000)

    @property
    def reason(self) -> StaleReason:
        return self.machine.current.reason

    @property
    def reasons(self) -> tuple[str, str]:
        """Of tickers and forming klines, and of closed klines."""
        state = self.machine.current
        return str(state.prices.reason), str(state.closed.reason)

    def connect(self) -> Feed:
        self.machine.connected(self.now_s, self.now_ms)
        return self

    def disconnect(self) -> bool:
        return self.machine.disconnected(self.now_s, self.now_ms)

    def backfill(self, newest_price_ms: int = 0) -> Feed:
        self.machine.backfill_done(self.now_s, self.now_ms, newest_price_ms, frozenset())
        return self

    def bring(self, what: str) -> None:
        """`p` a price, `f` a forming kline, `c` a closed kline of a minute, `r` a refused message."""
        for kind in what:
            self.machine.message_received(self.now_s)
            match kind:
                case "p":
                    self.machine.price_usable(self.now_s)
                case "f":
                    self.machine.kline_usable(self.now_s)
                case "c":
                    self.closed_ms += MINUTE_MS
                    self.machine.kline_closed(self.now_s, 60.0, self.closed_ms)
                case "r":
                    self.machine.message_refused(self.now_s)

    def wait(self, seconds: float, what: str = "", step_s: float = 0.25) -> Feed:
        """Let time pass; with `what`, that comes all the time."""
        if not what:
            self.now_s += seconds
            self.machine.time_passed(self.now_s, self.now_ms)
            return self
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            self.bring(what)
            self.machine.time_passed(self.now_s, self.now_ms)
        return self


def live(brings: str = "p", stale_after_s: float = STALE_S) -> Feed:
    """A feed that has just brought each of these."""
    feed = Feed(stale_after_s).connect().backfill()
    feed.bring(brings)
    feed.machine.time_passed(feed.now_s, feed.now_ms)
    assert feed.machine.is_live()
    return feed


def backfilling() -> Feed:
    return Feed().connect()


def silent() -> Feed:
    return live().wait(STALE_S + 1)


def malformed() -> Feed:
    return live().wait(STALE_S + 1, "r")


def stopped() -> Feed:
    """Klines go on, prices do not."""
    return live("pf").wait(STALE_S + 1, "f")


FEEDS: dict[State, Callable[[], Feed]] = {
    State.LIVE: live,
    State.DISCONNECTED: Feed,
    State.BACKFILLING: backfilling,
    State.SILENT: silent,
    State.MALFORMED: malformed,
    State.STOPPED: stopped,
}
REASONS = {
    State.LIVE: "",
    State.DISCONNECTED: "redis",
    State.BACKFILLING: "repair",
    State.SILENT: "silent",
    State.MALFORMED: "malformed",
    State.STOPPED: "prices",
}
STALE_STATES = [state for state in State if state is not State.LIVE]


@pytest.mark.parametrize("state", State)
def test_each_state_can_be_reached_and_is_told_by_its_reason(state: State) -> None:
    assert FEEDS[state]().reasons[0] == REASONS[state]


def test_a_machine_starts_disconnected() -> None:
    feed = Feed()
    assert (feed.reason, feed.machine.current.since_ms, feed.machine.last_message_s) == (
        StaleReason.DISCONNECTED, 0, 0.0,
    )  # fmt: skip


# Connected


@pytest.mark.parametrize("state", STALE_STATES)
def test_stale_data_backfills_once_connected_and_is_stale_since_before(state: State) -> None:
    feed = FEEDS[state]()
    before = feed.machine.current
    feed.now_s += 3
    feed.connect()
    assert feed.reasons[0] == "repair"
    assert feed.machine.current is not before
    assert feed.machine.current.prices.since_ms == before.prices.since_ms


def test_live_data_stays_live_while_another_source_takes_over() -> None:
    feed = live()
    before = feed.machine.current
    assert feed.connect().machine.current is before


def test_closed_klines_stay_live_while_another_source_is_asked_for_prices() -> None:
    assert stopped().connect().reasons == ("repair", "")


# Disconnected


@pytest.mark.parametrize("state", [state for state in State if state is not State.DISCONNECTED])
def test_a_lost_connection_makes_data_stale_from_now(state: State) -> None:
    feed = FEEDS[state]()
    feed.now_s += 3
    assert feed.disconnect()
    assert feed.reasons == ("redis", "redis")
    assert feed.machine.current.since_ms == feed.now_ms


def test_a_second_disconnect_changes_nothing() -> None:
    feed = live()
    feed.disconnect()
    before = feed.machine.current
    feed.now_s += 3
    assert not feed.disconnect()
    assert feed.machine.current is before


# Backfill done


@pytest.mark.parametrize("state", STALE_STATES)
def test_data_is_live_after_a_backfill_with_fresh_prices(state: State) -> None:
    feed = FEEDS[state]()
    feed.now_s = START_S + 40
    assert feed.backfill(T0 + 40_000 - 14_000).machine.is_live()
    assert feed.machine.current.since_ms == 0


def test_data_is_live_after_a_backfill_that_finds_no_price() -> None:
    assert backfilling().backfill().machine.is_live()


@pytest.mark.parametrize("state", STALE_STATES)
def test_data_is_silent_since_its_last_price_after_a_backfill_with_old_prices(state: State) -> None:
    feed = FEEDS[state]()
    feed.now_s = START_S + 100
    feed.machine.times.last_price_s = feed.machine.times.last_usable_s = 0.0
    feed.backfill(T0 + 50_000)
    assert feed.reasons == ("silent", "silent")
    assert feed.machine.current.since_ms == T0 + 50_000


@pytest.mark.parametrize("state", STALE_STATES)
def test_prices_are_missing_after_a_backfill_where_klines_came_lately(state: State) -> None:
    feed = FEEDS[state]()
    feed.now_s = START_S + 100
    feed.bring("f")
    feed.backfill(T0 + 50_000)
    assert feed.reasons == ("prices", "")
    assert feed.machine.current.since_ms == T0 + 50_000


def test_live_data_is_not_touched_by_a_backfill() -> None:
    feed = live()
    before = feed.machine.current
    feed.now_s += 5
    assert feed.backfill(T0 - 60_000).machine.current is before


def test_a_stored_price_counts_as_the_last_data_of_a_feed_that_sent_none() -> None:
    feed = Feed().connect().backfill(T0 - 5_000)
    assert feed.wait(STALE_S - 6).machine.is_live()
    assert feed.wait(2).reason is StaleReason.SILENT
    assert feed.machine.current.since_ms == T0 - 5_000


def test_a_price_that_comes_before_the_store_is_read_does_not_date_those_of_other_symbols() -> None:
    feed = Feed().connect()
    feed.bring("p")
    feed.backfill(T0 - 5_000)
    assert (feed.machine.times.last_usable_s, feed.machine.times.last_price_s) == (START_S, START_S - 5)


def test_a_price_slightly_in_the_future_counts_as_one_of_now() -> None:
    assert Feed().connect().backfill(T0 + 999).machine.times.last_price_s == START_S


def test_a_price_far_in_the_future_says_nothing() -> None:
    feed = Feed().connect().backfill(T0 + 1000)
    assert feed.machine.is_live()
    assert feed.machine.times.last_price_s == 0.0


def test_data_is_silent_at_once_after_a_backfill_where_the_last_is_old() -> None:
    feed = Feed()
    feed.bring("f")
    feed.now_s += STALE_S + 1
    feed.connect().backfill()
    assert (feed.reason, feed.machine.current.since_ms) == (StaleReason.SILENT, T0)


# Symbols


def test_symbols_that_have_stopped_are_kept_while_lanes_change() -> None:
    feed = live()
    stopped = {"ETHUSDT": SymbolStates(Staleness(StaleReason.SYMBOL, 7), Staleness())}
    feed.machine.set_symbols(stopped)
    state = feed.machine.current
    assert state.symbols == stopped
    feed.machine.set_symbols(dict(stopped))
    assert feed.machine.current is state
    feed.disconnect()
    assert feed.machine.current.symbols == stopped


def test_a_price_that_the_store_cannot_confirm_after_a_break_is_stale_until_one_comes() -> None:
    feed = live().wait(2, "p")
    feed.disconnect()
    feed.now_s += STALE_S + 1
    since_ms = feed.machine.current.since_ms
    feed.connect()
    feed.machine.backfill_done(feed.now_s, feed.now_ms, feed.now_ms, frozenset(), frozenset({"A"}))
    state = feed.machine.current
    assert state.live
    assert state.ticker("A") == state.klines("A") == Staleness(StaleReason.PRICES, since_ms)
    assert state.ticker("B").live
    assert state.klines("A", forming=False).live
    feed.machine.note_prices(lambda symbol: True)
    assert feed.machine.current is state
    feed.machine.note_prices(lambda symbol: False)
    assert feed.machine.current is not state, "it is announced"
    assert feed.machine.current.ticker("A").live


def test_series_that_lack_klines_are_kept_while_lanes_change() -> None:
    feed = live()
    unread = {("ETHUSDT", "1m"): Staleness(StaleReason.BACKFILLING, 7)}
    feed.machine.set_series(unread)
    state = feed.machine.current
    assert state.series == unread
    feed.machine.set_series(dict(unread))
    assert feed.machine.current is state
    feed.disconnect()
    assert feed.machine.current.series == unread
    feed.machine.set_series({})
    assert not feed.machine.current.series


# Time passes: live data


def test_live_data_is_silent_since_the_last_usable_data_once_none_comes() -> None:
    feed = live()
    feed.now_s += 2
    feed.bring("p")
    assert feed.wait(STALE_S).machine.is_live()
    assert feed.wait(0.01).reasons == ("silent", "silent")
    assert feed.machine.current.since_ms == T0 + 2000


def test_live_data_is_malformed_once_all_messages_are_refused_for_the_limit() -> None:
    feed = live("pf").wait(STALE_S, "r")
    assert feed.machine.is_live()
    feed.wait(0.25, "r")
    assert feed.reasons == ("malformed", "malformed")
    assert feed.machine.current.since_ms == T0


def test_a_feed_whose_messages_were_never_usable_is_malformed() -> None:
    assert Feed().connect().backfill().wait(STALE_S + 1, "r").reasons == ("malformed", "malformed")


def test_some_refused_messages_change_nothing() -> None:
    assert live("pf").wait(60, "rpf").machine.is_live()


def test_prices_that_stop_while_klines_go_on_make_tickers_and_forming_klines_stale() -> None:
    feed = live("pf").wait(STALE_S + 0.25, "f")
    assert feed.reasons == ("prices", "")
    assert feed.machine.current.since_ms == T0


def test_prices_that_are_refused_while_klines_go_on_are_missing() -> None:
    assert live("pf").wait(STALE_S + 0.25, "rf").reasons == ("prices", "")


def test_closed_klines_that_are_overdue_while_prices_go_on_are_stale_since_they_were_due() -> None:
    feed = live("pc").wait(OVERDUE_S, "p")
    assert feed.machine.is_live()
    feed.wait(0.25, "p")
    assert feed.reasons == ("", "klines")
    assert feed.machine.current.since_ms == T0 + 60_000


def test_both_lanes_can_be_stale_while_forming_klines_go_on() -> None:
    assert live("pcf").wait(OVERDUE_S + 1, "f").reasons == ("prices", "klines")


@pytest.mark.parametrize("brings", ["p", "f", "pf"])
def test_a_source_without_closed_klines_is_live(brings: str) -> None:
    assert live(brings).wait(300, brings).machine.is_live()


def test_a_source_without_prices_is_live() -> None:
    feed = live("fc")
    for _ in range(5):
        assert feed.wait(60, "f").machine.is_live()
        feed.bring("c")


def test_klines_that_are_stored_and_do_not_go_on_are_stale_after_an_interval() -> None:
    feed = Feed().connect().backfill()
    feed.bring("p")
    feed.machine.closes_stored(feed.now_s, 60.0, T0 - MINUTE_MS)
    for seconds in range(1, 200):
        feed.now_s = START_S + seconds
        feed.bring("p")
        feed.machine.time_passed(feed.now_s, feed.now_ms)
        assert feed.reasons == ("", "klines" if seconds > OVERDUE_S else "")


def test_a_source_of_closed_klines_alone_is_live_between_two_closes_and_silent_when_one_is_overdue() -> None:
    feed = live("c")
    for _ in range(5):
        assert feed.wait(60).machine.is_live()
        feed.bring("c")
    assert feed.wait(OVERDUE_S).machine.is_live()
    assert feed.wait(0.1).reasons == ("silent", "silent")
    assert not feed.machine.closed_live()


# Time passes: stale data


@pytest.mark.parametrize("state", [State.DISCONNECTED, State.BACKFILLING])
def test_time_alone_changes_no_state_that_waits_for_the_source(state: State) -> None:
    feed = FEEDS[state]()
    before = feed.machine.current
    assert feed.wait(1000).machine.current is before


def test_silent_data_stays_silent_without_messages() -> None:
    feed = silent()
    before = feed.machine.current
    assert feed.wait(1000).machine.current is before


def test_stale_data_changes_its_reason_and_keeps_its_time() -> None:
    feed = silent()
    since_ms = feed.machine.current.since_ms
    assert feed.wait(1, "r").reasons == ("malformed", "malformed")
    assert feed.wait(STALE_S + 1).reasons == ("silent", "silent")
    assert feed.machine.current.since_ms == since_ms
    feed = stopped()
    since_ms = feed.machine.current.since_ms
    assert feed.wait(STALE_S + 1).reasons == ("silent", "silent")
    assert feed.machine.current.prices.since_ms == since_ms
    feed = stopped()
    assert feed.wait(STALE_S + 1, "r").reasons == ("malformed", "malformed")
    assert feed.machine.current.prices.since_ms == since_ms


@pytest.mark.parametrize("state", [State.SILENT, State.MALFORMED, State.STOPPED])
def test_prices_are_live_once_they_have_come_for_a_while(state: State) -> None:
    feed = FEEDS[state]()
    feed.wait(PRICES_SPREAD_S, "p")
    assert feed.reasons[0] == REASONS[state]
    assert feed.wait(0.25, "p").machine.is_live()


def test_prices_need_no_longer_than_half_of_a_short_limit() -> None:
    feed = live(stale_after_s=0.4).wait(1).wait(0.1, "p", step_s=0.1)
    assert feed.reason is StaleReason.SILENT
    assert feed.wait(0.3, "p", step_s=0.1).machine.is_live()


@pytest.mark.parametrize("state", [State.SILENT, State.MALFORMED])
def test_prices_that_do_not_come_back_with_the_klines_are_missing(state: State) -> None:
    feed = FEEDS[state]()
    since_ms = feed.machine.current.since_ms
    feed.wait(PRICES_WAIT_S, "f")
    assert feed.reasons == (REASONS[state], "")
    feed.wait(0.5, "f")
    assert feed.reasons == ("prices", "")
    assert feed.machine.current.since_ms == since_ms


def test_a_source_that_never_sent_a_price_is_live_with_its_first_message() -> None:
    feed = live("f").wait(STALE_S + 1)
    assert feed.reason is StaleReason.SILENT
    feed.bring("f")
    assert feed.wait(0.1).machine.is_live()


def test_a_second_silence_waits_for_prices_anew() -> None:
    feed = silent().wait(PRICES_SPREAD_S + 0.25, "p").wait(STALE_S + 1)
    assert feed.reason is StaleReason.SILENT
    assert feed.wait(PRICES_SPREAD_S, "p").reason is StaleReason.SILENT


def test_closed_klines_are_live_with_the_next_close() -> None:
    feed = live("pc").wait(OVERDUE_S + 1, "p")
    assert feed.machine.closed_live()
    feed.bring("c")
    assert feed.wait(0.25, "p").machine.is_live()


@pytest.mark.parametrize("interruption", ["silence", "disconnect"])
def test_after_an_interruption_the_next_close_has_its_time(interruption: str) -> None:
    feed = live("pc")
    if interruption == "silence":
        feed.wait(OVERDUE_S + 100)
    else:
        feed.disconnect()
        feed.now_s += OVERDUE_S + 100
        feed.connect().backfill()
    assert feed.wait(OVERDUE_S - 1, "p").machine.is_live()
    assert feed.wait(2, "p").reasons == ("", "klines")


def test_another_limit_holds_from_the_next_judgement_on() -> None:
    feed = live()
    feed.machine.times.configure(2 * STALE_S, GRACE_S)
    assert feed.wait(STALE_S + 1).machine.is_live()
    feed.machine.times.configure(STALE_S, GRACE_S)
    assert feed.wait(0).reason is StaleReason.SILENT


def test_pairs_without_a_row_change_nothing() -> None:
    for state, given in product(State, Input):
        if (state, given) in TRANSITIONS:
            continue
        feed = FEEDS[state]()
        before: FeedState = feed.machine.current
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


class TestSymbolsStillToBeRead:
    """Of a feed that is live again, the klines of symbols that nobody watched may be read a little later."""

    def test_their_klines_are_stale_since_the_feed_was(self) -> None:
        machine = FeedStateMachine(STALE_S)
        machine.connected(START_S, T0)
        machine.backfill_done(START_S, T0, 0, frozenset())
        machine.disconnected(START_S + 1, T0 + 1000)
        machine.connected(START_S + 2, T0 + 2000)
        machine.backfill_done(START_S + 2, T0 + 2000, 0, frozenset({"A", "B"}))
        state = machine.current
        assert state.live
        assert state.klines("A") == state.klines("A", forming=False) == Staleness(StaleReason.BACKFILLING, T0 + 1000)
        assert state.ticker("A").live
        assert state.klines("C").live
        machine.backfill_done(START_S + 3, T0 + 3000, 0, frozenset({"B"}))
        assert machine.current is not state, "it is announced"
        assert (machine.current.klines("A").live, machine.current.klines("B").live) == (True, False)
        machine.backfill_done(START_S + 4, T0 + 4000, 0, frozenset())
        assert machine.current.klines("B").live

    def test_a_lost_connection_makes_everything_stale_for_its_own_reason(self) -> None:
        machine = FeedStateMachine(STALE_S)
        machine.connected(START_S, T0)
        machine.backfill_done(START_S, T0, 0, frozenset({"A"}))
        machine.disconnected(START_S + 1, T0 + 1000)
        assert machine.current.klines("A") == Staleness(StaleReason.DISCONNECTED, T0 + 1000)
        assert not machine.current.symbols

    def test_there_are_none_where_the_feed_was_live_all_along(self) -> None:
        machine = FeedStateMachine(STALE_S)
        machine.connected(START_S, T0)
        machine.backfill_done(START_S, T0, 0, frozenset())
        machine.connected(START_S + 1, T0 + 1000)
        machine.backfill_done(START_S + 1, T0 + 1000, 0, frozenset({"A"}))
        assert machine.current.klines("A").live
