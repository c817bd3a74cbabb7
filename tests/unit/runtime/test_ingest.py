"""What a batch does to the market, the feed state, the counters and a surge; on virtual time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.config import Config, MarketConfig
from gateway.delivery.feed_state import FeedStateMachine
from gateway.delivery.hub import Hub
from gateway.delivery.load_level import Load
from gateway.delivery.load_meter import Cause, LoadMeter
from gateway.delivery.load_remedies import Level
from gateway.delivery.staleness import StaleReason
from gateway.market.market import Market
from gateway.model.feed_time import AGREEING_COUNTS, COUNT_S
from gateway.ops.counters import Counters, Stage
from gateway.redis.contract import Topic
from gateway.runtime.clock import SteadyClock
from gateway.runtime.ingest import INGEST_SHARE, SURGE_OVER_WINDOWS, Ingest
from tests.builders import MINUTE_MS, T0, kline, ticker

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.market.market import Update


PRICE = Topic("BTCUSDT", "")
KLINES = Topic("BTCUSDT", "1m")
CONFIG = Config(market=MarketConfig(intervals=("1m",), stale_after_s=15.0))
WINDOW_S = CONFIG.stream.flush_max_ms / 1000
SHARE_S = WINDOW_S * INGEST_SHARE


class FakeBackfill:
    def __init__(self) -> None:
        self.done: Callable[[frozenset[str]], None] | None = None
        self.cancelled = 0
        self.started = 0
        self.newest_price_ms = 0

    def start_all(self, done: Callable[[frozenset[str]], None]) -> None:
        self.started += 1
        self.done = done

    def cancel(self) -> None:
        self.cancelled += 1


class Fixture:
    """An ingest with a real market and hub, whose clocks are moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.thread_s = 0.0
        self.message_cost_s = 0.0
        self.step_ms = 0
        self.market = Market(CONFIG.market, log_size=4)
        self.hub: Hub = Hub(self.market)
        self.counters = Counters()
        self.backfill = FakeBackfill()
        self.feed_state = FeedStateMachine(CONFIG.market.stale_after_s)
        self.clock = SteadyClock(lambda: self.now_ns() + self.step_ms * 1_000_000, self.now_ns)
        self.load = Load(shed_above=0)
        self.cpu_s = 0.0
        self.meter = LoadMeter(lambda: self.cpu_s)
        self.ingest = Ingest(
            CONFIG,
            self.market,
            self.hub,
            self.feed_state,
            self.backfill,  # type: ignore[arg-type]
            self.counters,
            self.clock,
            self.load,
            self.meter,
            lambda: self.now_s,
            self.thread_time_s,
        )

    def now_ns(self) -> int:
        return T0 * 1_000_000 + round((self.now_s - 1000) * 1e9)

    def thread_time_s(self) -> float:
        """Each look takes `message_cost_s`: a batch looks twice."""
        self.thread_s += self.message_cost_s
        return self.thread_s

    @property
    def last(self) -> str | None:
        ticker = self.market.ticker("BTCUSDT")
        return ticker and ticker.last

    def reason(self) -> StaleReason:
        return self.hub.feed_state.reason

    def surging(self) -> bool:
        return self.ingest.surging

    def judge(self) -> None:
        self.ingest.judge_feed(self.now_s, self.clock())

    def feed(self, seconds: float, batch: list[tuple[Topic, bytes]]) -> None:
        """This batch four times a second."""
        for _ in range(round(seconds * 4)):
            self.now_s += 0.25
            self.ingest.ingest(batch)
            self.judge()

    def flush(self) -> None:
        self.ingest.begin_flush(self.clock())

    def end_window(self) -> None:
        """A flush that comes when the window of a surge is over."""
        self.now_s += WINDOW_S + 0.001
        self.flush()

    def begin_surge(self) -> None:
        self.message_cost_s = SHARE_S + 0.001
        self.ingest.ingest([(PRICE, price("1"))])
        self.message_cost_s = 0.0
        assert self.ingest.surging

    def observed(self, stage: str) -> int:
        return sum(self.counters.stages[stage].counts)


def live() -> Fixture:
    """Connected, backfilled, with a price at T0."""
    gateway = Fixture()
    gateway.ingest.ingest([(PRICE, price("7", E=T0))])
    gateway.ingest.connected()
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset())
    return gateway


def price(last: str, **fields: Any) -> bytes:
    return json.dumps({"c": last} | fields).encode()


def kline_json(number: int, *, closed: bool = False, **fields: Any) -> bytes:
    times = {"t": T0 + number * MINUTE_MS, "x": closed}
    return json.dumps(times | {"o": "100", "h": "110", "l": "90", "c": "105"} | fields).encode()


def test_a_batch_is_applied_in_order() -> None:
    gateway = Fixture()
    gateway.ingest.ingest([(PRICE, price("1")), (PRICE, price("2")), (KLINES, kline_json(-1, closed=True))])
    assert gateway.last == "2"
    assert [known.open_time_ms for known in gateway.market.closed("BTCUSDT", "1m")] == [T0 - MINUTE_MS]
    assert gateway.counters.messages_in == 3


def test_a_delta_of_a_kline_is_applied() -> None:
    gateway = Fixture()
    delta = json.dumps({"t": T0, "c": "107"}).encode()
    gateway.ingest.ingest([(KLINES, kline_json(0)), (KLINES, delta)])
    assert gateway.market.forming("BTCUSDT", "1m") == kline(0, "100 110 90 107", event_time_ms=gateway.clock())


def test_a_refused_message_is_counted_by_reason_and_the_rest_is_applied() -> None:
    gateway = Fixture()
    gateway.ingest.ingest([(PRICE, b"{"), (KLINES, kline_json(0, h="1")), (PRICE, price("2"))])
    assert gateway.counters.feed_errors == {"bad_json": 1, "contradictory_kline": 1}
    assert gateway.last == "2"


def test_a_ticker_delta_without_a_known_ticker_is_counted_as_a_missing_price() -> None:
    gateway = Fixture()
    gateway.ingest.ingest([(PRICE, b'{"h":"120"}')])
    assert gateway.counters.feed_errors == {"missing_field": 1}
    assert not gateway.market.has_data("BTCUSDT")


def test_new_limits_reach_the_feed_state() -> None:
    gateway = Fixture()
    gateway.ingest.connected()
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset())
    gateway.ingest.configure(Config(market=MarketConfig(intervals=("1m",), stale_after_s=1.0)))
    gateway.now_s += 2
    gateway.ingest.judge_feed(gateway.now_s, gateway.clock())
    assert gateway.reason() is StaleReason.SILENT


# The feed state


def test_the_hub_gets_each_new_feed_state() -> None:
    gateway = Fixture()
    assert gateway.hub.feed_state is gateway.feed_state.current
    gateway.ingest.connected()
    assert gateway.reason() is StaleReason.BACKFILLING
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset())
    assert gateway.reason() is StaleReason.NONE
    gateway.ingest.disconnected("gone")
    assert gateway.reason() is StaleReason.DISCONNECTED
    assert gateway.hub.feed_state is gateway.feed_state.current


def test_each_lost_connection_is_counted_once_and_ends_the_backfill() -> None:
    gateway = Fixture()
    gateway.ingest.connected()
    gateway.ingest.disconnected("gone")
    gateway.ingest.disconnected("still gone")
    assert (gateway.counters.feed_disconnects, gateway.backfill.cancelled) == (1, 2)


def test_old_stored_prices_are_not_live_after_a_backfill() -> None:
    gateway = Fixture()
    gateway.ingest.ingest([(PRICE, price("1", E=T0))])
    gateway.now_s += 60
    gateway.ingest.connected()
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset())
    assert (gateway.hub.feed_state.reason, gateway.hub.feed_state.since_ms) == (StaleReason.SILENT, T0)


def test_klines_of_symbols_that_are_still_to_be_read_are_stale_until_they_are() -> None:
    gateway = Fixture()
    gateway.ingest.connected()
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset({"ETHUSDT"}))
    state = gateway.hub.feed_state
    assert (state.live, state.klines("ETHUSDT").live, state.klines("BTCUSDT").live) == (True, False, True)
    gateway.backfill.done(frozenset())
    assert gateway.hub.feed_state.klines("ETHUSDT").live


def test_prices_that_a_slow_line_has_held_up_are_not_live_and_fresh_ones_are() -> None:
    gateway = live()
    gateway.feed(1.5, [(PRICE, price("1", E=gateway.clock()))])
    gateway.now_s += 60
    gateway.judge()
    assert gateway.reason() is StaleReason.SILENT
    for number in range(8):
        late_ms = gateway.clock() - 30_000
        gateway.feed(0.25, [(PRICE, price(str(2 + number), E=late_ms))])
        assert gateway.reason() is not StaleReason.NONE
    for number in range(8):
        gateway.feed(0.25, [(PRICE, price(str(12 + number), E=gateway.clock()))])
    assert gateway.reason() is StaleReason.NONE


def test_a_price_that_could_not_be_read_after_a_break_is_stale_until_the_next_one_of_its_symbol() -> None:
    other = Topic("ETHUSDT", "")
    gateway = live()
    for number in range(8):
        gateway.feed(0.25, [(PRICE, price(str(number))), (other, price(str(number)))])
    gateway.ingest.disconnected("gone")
    gateway.now_s += 60
    gateway.ingest.connected()
    # Others are stored, and that of this symbol is of no use.
    gateway.backfill.newest_price_ms = gateway.clock()
    gateway.market.lapse("BTCUSDT")
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset())
    state = gateway.hub.feed_state
    assert (state.live, state.ticker("ETHUSDT").live) == (True, True)
    assert (state.ticker("BTCUSDT").reason, state.klines("BTCUSDT").reason) == (StaleReason.PRICES, StaleReason.PRICES)
    gateway.feed(0.25, [(other, price("21"))])
    assert gateway.hub.feed_state is state
    gateway.feed(0.25, [(PRICE, price("21"))])
    assert gateway.hub.feed_state.ticker("BTCUSDT").live


def test_only_an_applied_price_counts_as_one() -> None:
    gateway = live()
    gateway.now_s += 60
    gateway.judge()
    gateway.feed(1.5, [(PRICE, b"{"), (KLINES, kline_json(1))])
    assert gateway.reason() is StaleReason.SILENT
    gateway.feed(1.5, [(PRICE, price("2"))])
    assert gateway.reason() is StaleReason.NONE


def test_a_price_that_repeats_an_old_one_is_not_fresh() -> None:
    gateway = live()
    gateway.feed(16, [(PRICE, price("7", E=T0)), (KLINES, kline_json(0))])
    assert gateway.reason() is StaleReason.PRICES


def test_refused_messages_alone_make_the_feed_malformed_and_the_log_says_which(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway = live()
    gateway.feed(16, [(PRICE, b"\x1f\x8b"), (KLINES, b"\x1f\x8b")])
    assert gateway.reason() is StaleReason.MALFORMED
    text = gateway.ingest.refusals.text(StaleReason.MALFORMED)
    assert text == r"128 of 128 messages refused: bad_json, for example BTCUSDT ticker: \x1f\x8b"
    # The state changed after 15 s and a flush.
    assert any(line.startswith("feed stale: malformed: 122 of 122 messages refused") for line in caplog.messages)
    caplog.clear()
    caplog.set_level("INFO")
    gateway.feed(1.5, [(PRICE, price("2"))])
    assert gateway.ingest.refusals.text(StaleReason.PRICES) == ""
    assert "feed live" in caplog.messages


def test_closed_klines_that_stop_are_noticed_and_those_read_from_the_store_count() -> None:
    gateway = live()
    gateway.ingest.ingest([(KLINES, kline_json(-1, closed=True))])
    # Due after a minute, overdue after the grace time and the limit.
    gateway.feed(76, [(PRICE, price("2"))])
    assert gateway.hub.feed_state.live
    gateway.market.reseed("BTCUSDT", "1m", [kline(0, closed=True)], gateway.clock())
    gateway.feed(74, [(PRICE, price("2"))])
    assert gateway.hub.feed_state.live
    gateway.feed(6, [(PRICE, price("2"))])
    assert gateway.reason() is StaleReason.KLINES
    delta = json.dumps({"t": T0 + MINUTE_MS, "x": True}).encode()
    gateway.feed(0.25, [(KLINES, kline_json(1)), (KLINES, delta)])
    assert gateway.hub.feed_state.live


def test_a_source_of_closed_klines_alone_is_live_until_the_next_one_is_overdue_by_what_is_stored() -> None:
    gateway = Fixture()
    gateway.now_s += 90
    gateway.market.reseed("BTCUSDT", "1m", [kline(0, closed=True)], gateway.clock())
    gateway.ingest.connected()
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset())
    # It closed 30 s ago, so the next one is due in 30 s, and overdue 17 s later.
    gateway.now_s += 46
    gateway.judge()
    assert gateway.hub.feed_state.live
    gateway.now_s += 2
    gateway.judge()
    assert gateway.reason() is StaleReason.SILENT


def test_stored_closed_klines_show_at_once_that_the_next_one_is_overdue() -> None:
    gateway = Fixture()
    gateway.now_s += 3600
    gateway.market.reseed("BTCUSDT", "1m", [kline(0, closed=True)], gateway.clock())
    gateway.ingest.connected()
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset())
    assert gateway.reason() is StaleReason.SILENT
    gateway.ingest.ingest([(KLINES, kline_json(59, closed=True))])
    gateway.judge()
    assert gateway.hub.feed_state.live


def test_an_old_stored_price_does_not_hide_what_the_stored_closes_show() -> None:
    gateway = Fixture()
    gateway.now_s += 90
    gateway.market.reseed("BTCUSDT", "1m", [kline(0, closed=True)], gateway.clock())
    gateway.market.restore(ticker("1", event_time_ms=T0 - MINUTE_MS))
    gateway.backfill.newest_price_ms = T0 - MINUTE_MS
    gateway.ingest.connected()
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset())
    state = gateway.hub.feed_state
    assert (state.prices.reason, state.closed.live) == (StaleReason.PRICES, True)


def test_stored_closed_klines_of_another_day_say_nothing_about_the_source() -> None:
    gateway = Fixture()
    gateway.now_s += 2 * 86_400
    gateway.market.reseed("BTCUSDT", "1m", [kline(0, closed=True)], gateway.clock())
    gateway.market.get_or_create("ETHUSDT").has_data = True
    gateway.ingest.connected()
    assert gateway.backfill.done is not None
    gateway.backfill.done(frozenset())
    assert gateway.feed_state.times.closed_intervals == {}


# A surge


def test_messages_beyond_their_share_of_time_begin_a_surge() -> None:
    gateway = Fixture()
    gateway.message_cost_s = SHARE_S * 0.9
    gateway.ingest.ingest([(PRICE, price("1"))])
    assert not gateway.surging()
    gateway.ingest.ingest([(PRICE, price("2"))])
    assert gateway.surging()


def test_in_a_surge_the_newest_price_waits_for_the_flush_and_a_closed_kline_does_not() -> None:
    gateway = Fixture()
    gateway.begin_surge()
    gateway.ingest.ingest([(PRICE, price("2")), (PRICE, price("3")), (KLINES, kline_json(-1, closed=True))])
    assert gateway.last == "1"
    assert len(list(gateway.market.closed("BTCUSDT", "1m"))) == 1
    gateway.flush()
    assert gateway.last == "3"
    assert gateway.counters.conflated == 1


def test_a_surge_is_over_once_the_messages_fit_into_their_share() -> None:
    gateway = Fixture()
    gateway.begin_surge()
    gateway.message_cost_s = SHARE_S
    gateway.ingest.ingest([(PRICE, price("2"))])
    gateway.end_window()
    assert gateway.surging(), "one message takes all of the share"
    gateway.message_cost_s = SHARE_S / 10
    for _ in range(SURGE_OVER_WINDOWS):
        assert gateway.surging()
        gateway.ingest.ingest([(PRICE, price("3"))])
        gateway.end_window()
    assert not gateway.surging()
    assert gateway.ingest.spent_s == 0.0


def test_a_surge_is_over_once_nothing_comes() -> None:
    gateway = Fixture()
    gateway.begin_surge()
    for _ in range(SURGE_OVER_WINDOWS):
        assert gateway.surging()
        gateway.end_window()
    assert not gateway.surging()


def test_flushes_within_a_window_do_not_bring_the_end_of_a_surge_nearer() -> None:
    gateway = Fixture()
    gateway.begin_surge()
    gateway.end_window()
    for _ in range(3 * SURGE_OVER_WINDOWS):
        gateway.now_s += WINDOW_S / (4 * SURGE_OVER_WINDOWS)
        gateway.flush()
    assert gateway.surging()


def test_what_messages_take_in_a_window_adds_up_over_its_flushes() -> None:
    gateway = Fixture()
    gateway.end_window()
    gateway.message_cost_s = SHARE_S * 0.6
    gateway.ingest.ingest([(PRICE, price("1"))])
    gateway.now_s += WINDOW_S / 2
    gateway.flush()
    assert not gateway.surging()
    gateway.ingest.ingest([(PRICE, price("2"))])
    assert gateway.surging()


def test_messages_of_different_windows_do_not_add_up() -> None:
    gateway = Fixture()
    gateway.message_cost_s = SHARE_S * 0.6
    for _ in range(5):
        gateway.ingest.ingest([(PRICE, price("1"))])
        gateway.end_window()
    assert not gateway.surging()


# Whom a batch wakes


def test_each_batch_says_whether_klines_have_closed() -> None:
    gateway = Fixture()
    batches: list[bool] = []
    gateway.ingest.notify(batches.append)
    gateway.ingest.ingest([(PRICE, price("1"))])
    gateway.ingest.ingest([(KLINES, kline_json(-1, closed=True)), (PRICE, price("2"))])
    gateway.ingest.ingest([(KLINES, kline_json(0))])
    assert batches == [False, True, False]


def test_in_a_surge_a_batch_with_a_closed_kline_says_so_too() -> None:
    gateway = Fixture()
    gateway.begin_surge()
    batches: list[bool] = []
    gateway.ingest.notify(batches.append)
    gateway.ingest.ingest([(PRICE, price("2")), (KLINES, kline_json(-1, closed=True))])
    gateway.ingest.ingest([(PRICE, price("3"))])
    assert batches == [True, False]


# The lag metrics


def test_the_lag_is_that_of_the_last_message_with_an_event_time_of_its_own() -> None:
    gateway = Fixture()
    gateway.ingest.ingest([(PRICE, price("1", E=T0 - 200)), (PRICE, price("2", E=T0 - 100))])
    gateway.now_s += 0.05
    gateway.flush()
    assert gateway.counters.stages[Stage.FEED_TO_INGEST].total_s == 0.1
    assert round(gateway.counters.stages[Stage.INGEST_TO_FLUSH].total_s, 6) == 0.05


def test_without_an_event_time_only_the_wait_for_the_flush_is_observed() -> None:
    gateway = Fixture()
    for payload in (price("1"), b'{"E":'):
        gateway.ingest.ingest([(PRICE, payload)])
        gateway.flush()
    gateway.flush()
    assert (gateway.observed(Stage.FEED_TO_INGEST), gateway.observed(Stage.INGEST_TO_FLUSH)) == (0, 2)


def test_in_a_surge_the_lag_is_that_of_what_was_kept() -> None:
    gateway = Fixture()
    gateway.begin_surge()
    gateway.ingest.ingest([(PRICE, price("2", E=T0 - 300))])
    gateway.flush()
    assert gateway.counters.stages[Stage.FEED_TO_INGEST].total_s == 0.3


# The clock


@pytest.mark.parametrize(
    "payload",
    [kline_json(60), json.dumps({"t": T0 + 60 * MINUTE_MS, "c": "5"}).encode(), price("5", E=T0 + 60 * MINUTE_MS)],
    ids=["kline", "delta", "ticker"],
)
def test_most_of_the_feed_confirms_a_step_of_the_system_clock_and_one_message_does_not(payload: bytes) -> None:
    gateway = Fixture()
    gateway.step_ms = 60 * MINUTE_MS
    gateway.clock.check()
    topic = PRICE if b'"t"' not in payload else KLINES
    for count in range(AGREEING_COUNTS):
        before_ms = gateway.clock()
        assert before_ms < T0 + MINUTE_MS, count
        gateway.ingest.ingest([(topic, payload)])
        gateway.now_s += COUNT_S
        gateway.judge()
    assert gateway.clock() == before_ms + COUNT_S * 1000 + 60 * MINUTE_MS
    assert gateway.ingest.plausibility.ahead_s == 0


def test_a_feed_that_goes_by_another_time_does_not_confirm_that_of_the_system_clock() -> None:
    gateway = Fixture()
    gateway.step_ms = 120 * MINUTE_MS
    gateway.clock.check()
    for _ in range(2 * AGREEING_COUNTS):
        gateway.ingest.ingest([(PRICE, price("5", E=gateway.clock() + 60 * MINUTE_MS))])
        gateway.now_s += COUNT_S
        gateway.judge()
    assert gateway.clock() < T0 + MINUTE_MS
    assert gateway.ingest.plausibility.ahead_s == pytest.approx(3600, abs=1)


# Tracing


def test_a_traced_symbol_is_stamped_and_others_are_not() -> None:
    gateway = Fixture()
    gateway.ingest.ingest([(PRICE, price("1"))])
    trace = gateway.ingest.tracing.start("BTCUSDT", lambda record: None)
    gateway.ingest.ingest([(PRICE, price("2", E=T0)), (Topic("ETHUSDT", ""), price("9"))])
    (step,) = trace.pending
    assert step.record["event"] == T0
    assert step.record["folded"] is not None
    assert gateway.last == "2"


def test_a_traced_message_that_is_refused_is_reported_with_its_reason() -> None:
    gateway = Fixture()
    records: list[dict[str, Any]] = []
    gateway.ingest.tracing.start("BTCUSDT", records.append)
    gateway.ingest.ingest([(PRICE, b"{")])
    assert [record["outcome"] for record in records] == ["skipped: bad_json"]
    assert gateway.counters.feed_errors == {"bad_json": 1}


def test_what_a_surge_has_kept_is_traced_at_the_flush() -> None:
    gateway = Fixture()
    gateway.begin_surge()
    trace = gateway.ingest.tracing.start("BTCUSDT", lambda record: None)
    gateway.ingest.ingest([(PRICE, price("2"))])
    assert trace.pending == []
    gateway.flush()
    assert len(trace.pending) == 1


def test_a_load_of_ingest_conflates_however_few_messages_there_are() -> None:
    gateway = Fixture()
    gateway.load.levels[Cause.INGEST] = Level.BUSY
    assert gateway.surging()
    gateway.ingest.ingest([(PRICE, price("1")), (PRICE, price("2"))])
    before = gateway.last
    gateway.flush()
    assert (before, gateway.last) == (None, "2")
    assert gateway.surging()


def test_what_is_done_with_the_feed_is_charged_to_ingest(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Fixture()
    apply = gateway.market.apply

    def costly(update: Update, now_ms: int) -> bool:
        gateway.cpu_s += 1
        return apply(update, now_ms)

    monkeypatch.setattr(gateway.market, "apply", costly)
    gateway.ingest.ingest([(PRICE, price("1")), (PRICE, price("2"))])
    assert gateway.meter.spent_s[Cause.INGEST] == 2


def test_a_flush_before_the_next_read_does_not_end_a_surge() -> None:
    gateway = Fixture()
    gateway.begin_surge()
    for _ in range(3 * SURGE_OVER_WINDOWS):
        gateway.end_window()
        gateway.message_cost_s = SHARE_S + 0.001
        gateway.ingest.ingest([(PRICE, price("2"))])
        gateway.message_cost_s = 0.0
        assert gateway.surging()


def test_messages_that_newer_ones_have_replaced_keep_a_surge_up() -> None:
    gateway = Fixture()
    gateway.begin_surge()
    gateway.message_cost_s = SHARE_S / 10
    for _ in range(2 * SURGE_OVER_WINDOWS):
        gateway.ingest.ingest([(PRICE, price("3"))], replaced=100)
        gateway.end_window()
    assert gateway.surging()
