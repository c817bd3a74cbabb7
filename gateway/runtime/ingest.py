"""Takes the feed's messages into the market, and what becomes of its connection into the feed state.

Runs without `await`, so a batch is atomic with respect to other tasks. Decides neither what a message means
(`feed/decode`, `market`) nor whether data is stale (`delivery/feed_state`).
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from gateway.delivery.late_prices import LatePrices
from gateway.delivery.load_meter import Cause
from gateway.delivery.refusals import Refusals
from gateway.delivery.staleness import StaleReason
from gateway.feed.conflate import Conflator
from gateway.feed.decode import FeedError, decode_kline, decode_ticker, has_event_time
from gateway.model.kline import Kline, KlineUpdate
from gateway.ops.counters import Stage
from gateway.runtime.plausibility import Plausibility
from gateway.runtime.stored_closes import StoredCloses, length_s
from gateway.runtime.trace import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from gateway.config import Config
    from gateway.delivery.feed_state import FeedStateMachine
    from gateway.delivery.hub import Hub
    from gateway.delivery.load_level import Load
    from gateway.delivery.load_meter import LoadMeter
    from gateway.market.market import Market, Update
    from gateway.ops.counters import Counters
    from gateway.redis.contract import Topic
    from gateway.runtime.backfill import Backfill
    from gateway.runtime.clock import SteadyClock
    from gateway.runtime.trace import Step

logger = logging.getLogger(__name__)

CLOSES_CHECK_S = 1.0
"""While closed klines are overdue: how often to look whether the store has brought them instead of the feed."""

INGEST_SHARE = 0.5
"""Part of a window that may go into applying messages one by one; a surge begins above it. A window is as long as the
longest flush interval."""

SURGE_OVER = 0.7
"""Part of that share that a window's messages must fit into before a surge is over."""

SURGE_OVER_WINDOWS = 8
"""Windows in a row to which that must apply: on a busy core a flush may come before what waits in the socket is read,
and to end a surge too early costs more than to end it late."""


class Ingest:
    """The feed's sink. The flusher calls `begin_flush` before it takes the market's changes."""

    def __init__(
        self,
        config: Config,
        market: Market,
        hub: Hub,
        feed_state: FeedStateMachine,
        backfill: Backfill,
        counters: Counters,
        clock: SteadyClock,
        load: Load,
        meter: LoadMeter,
        monotonic_s: Callable[[], float] = time.monotonic,
        thread_time_s: Callable[[], float] = time.thread_time,
        plausibility: Plausibility | None = None,
    ) -> None:
        """`clock` is market time in ms; `monotonic_s` and `thread_time_s` are clocks in seconds.

        `plausibility` is shared with what reads the store.
        """
        self.plausibility = plausibility or Plausibility(config.market, market, counters, clock)
        self._market = market
        self._hub = hub
        self.feed_state = feed_state
        self._backfill = backfill
        self._counters = counters
        self._clock = clock
        self._load = load
        self.charge: AbstractContextManager[None] = meter.charge(Cause.INGEST)
        """Charges what is done with the feed's bytes, from reading them on."""
        self._monotonic_s = monotonic_s
        # This thread's own time: neighbours on the machine must not look like a surge.
        self._thread_time_s = thread_time_s
        self.configure(config)
        self._window_s = config.stream.flush_max_ms / 1000
        self._share_s = self._window_s * INGEST_SHARE
        self._conflator = Conflator()
        self._surging = False
        self._calm_windows = 0
        self.spent_s = 0.0
        """Time that ingest has taken in this window."""
        # When the window began, and how many messages it has brought.
        self._began_s = 0.0
        self._messages = 0
        # When the first message since the last flush came; of the last one its payload, when it came, and its event
        # time (0 where it was refused).
        self._first_s: float | None = None
        self._last_payload = b""
        self._last_ms = self._event_time_ms = 0
        # Since the last look: whether klines were applied, the newest close time of each interval, and the prices.
        self._kline_applied, self._prices_changed = False, 0
        self._closed_ms: dict[str, int] = {}
        self.refusals = Refusals()
        self._closes_checked_s = 0.0
        self._stored_closes = StoredCloses(market, feed_state)
        self._awaits_price = False
        self._late_prices = LatePrices(feed_state)
        self.tracing = Tracing()
        self._on_change: Callable[[bool], None] = lambda closed: None
        hub.set_feed_state(feed_state.current)

    def notify(self, on_change: Callable[[bool], None]) -> None:
        """Call `on_change` after each batch from now on, with whether klines have closed."""
        self._on_change = on_change

    def configure(self, config: Config) -> None:
        """Take the settings that may change while the process runs."""
        self.feed_state.times.configure(config.market.stale_after_s, config.market.close_grace_ms / 1000)

    @property
    def surging(self) -> bool:
        """Whether payloads are conflated before they are decoded."""
        return self._surging or self._load.conflates

    def ingest(self, batch: list[tuple[Topic, bytes]], replaced: int = 0) -> None:
        """Apply what one read has brought; in a surge only closed klines, and keep the newest of each other topic.

        `replaced`: messages that are not in the batch, because newer ones are. They count for how long a surge lasts.
        """
        with self.charge:
            self._ingest(batch)
            self._messages += replaced

    def _ingest(self, batch: list[tuple[Topic, bytes]]) -> None:
        started_s = self._thread_time_s()
        now_s, now_ms = self._monotonic_s(), self._clock()
        self.feed_state.message_received(now_s)
        self._counters.messages_in += len(batch)
        if self._first_s is None:
            self._first_s = now_s
        if not self._surging and now_s - self._began_s >= self._window_s:
            self._begin_window(now_s)
        self._last_payload, self._last_ms = batch[-1][1], now_ms
        self.plausibility.begin(now_s, now_ms)
        apply: Callable[[Topic, bytes, int], int] = self._apply
        if self.tracing.traces:
            self.tracing.read()
            apply = self._apply_traced
        event_time_ms = 0
        if self.surging:
            offer = self._conflator.offer
            for topic, payload in batch:
                for urgent in offer(topic, payload):
                    event_time_ms = apply(topic, urgent, now_ms)
        else:
            for topic, payload in batch:
                event_time_ms = apply(topic, payload, now_ms)
        self._event_time_ms = event_time_ms
        closed = bool(self._closed_ms)
        self._note_usable(now_s)
        self.plausibility.note_jumps()
        self._messages += len(batch)
        self.spent_s += self._thread_time_s() - started_s
        if self.spent_s > self._share_s:
            self._surging = True
            self._calm_windows = 0
        self._on_change(closed)

    def begin_flush(self, now_ms: int) -> None:
        """Apply what a surge has kept, and see whether it is over."""
        flush_s = self._monotonic_s()
        kept = len(self._conflator)
        started_s = self._thread_time_s() if kept else 0.0
        apply: Callable[[Topic, bytes, int], int] = self._apply_traced if self.tracing.traces else self._apply
        self.plausibility.begin(flush_s, now_ms)
        for topic, payload in self._conflator.take():
            self._event_time_ms = apply(topic, payload, now_ms)
        self._note_usable(self.feed_state.last_message_s)
        if self._first_s is not None:
            self._observe_lag(flush_s - self._first_s)
            self._first_s = None
        self._counters.conflated = self._conflator.conflated
        if flush_s - self._began_s < self._window_s:
            return
        if self._surging:
            calm = self._messages <= self._affordable(kept, started_s)
            self._calm_windows = self._calm_windows + 1 if calm else 0
            self._surging = self._calm_windows < SURGE_OVER_WINDOWS
        self._begin_window(flush_s)

    def _begin_window(self, now_s: float) -> None:
        self._began_s = now_s
        self._messages = 0
        self.spent_s = 0.0

    def connected(self) -> None:
        """A connection is there: start to read what may have been missed."""
        self.feed_state.connected(self._monotonic_s(), self._clock())
        self._publish_state()
        self._backfill.start_all(self._backfill_done)

    def disconnected(self, reason: str) -> None:
        self._backfill.cancel()
        if self.feed_state.disconnected(self._monotonic_s(), self._clock()):
            self._counters.feed_disconnects += 1
        self._publish_state()

    def judge_feed(self, now_s: float, now_ms: int) -> None:
        """Let time pass for the feed state, and for what time it is by the feed; once a flush."""
        if change_ms := self.plausibility.count_votes(now_s, now_ms):
            self._hub.strict.correct_time(change_ms, self._hub.channels, self._hub.sessions)
            if change_ms > 0:
                self._read_again()
        if self._awaits_price and self.feed_state.times.last_price_s:
            self._awaits_price = False
            self._stored_closes.note_all(now_s, now_ms, has_prices=True)
        if self.feed_state.times.closes_overdue(now_s) and now_s - self._closes_checked_s >= CLOSES_CHECK_S:
            self._closes_checked_s = now_s
            self._stored_closes.note_newer(now_s)
        self.feed_state.note_prices(self._market.lapsed)
        self.feed_state.time_passed(now_s, now_ms)
        self._publish_state()

    def _read_again(self) -> None:
        """Read what is stored, because some of it was refused before it was known what time it is by the feed."""
        if self.feed_state.current.reason is not StaleReason.DISCONNECTED:
            self._backfill.start_all(self._backfill_done)

    def _backfill_done(self, unread: frozenset[str]) -> None:
        now_s, now_ms = self._monotonic_s(), self._clock()
        self._awaits_price = not self._stored_closes.note_all(now_s, now_ms)
        unpriced = frozenset(filter(self._market.lapsed, self._market.symbols()))
        self.feed_state.backfill_done(now_s, now_ms, self._backfill.newest_price_ms, unread, unpriced)
        self._publish_state()

    def _publish_state(self) -> None:
        before, state = self._hub.feed_state, self.feed_state.current
        if state is not before:
            self._hub.set_feed_state(state)
            if not state.live and state.reason is not before.reason:
                text = self.refusals.text(state.reason)
                logger.warning("feed stale: %s%s", state.reason, f": {text}" if text else "")
            elif state.live and not before.live:
                logger.info("feed live")

    def _apply(self, topic: Topic, payload: bytes, now_ms: int, step: Step | None = None) -> int:
        """Decode a payload and apply it to the market; returns its event time, 0 where it is refused.

        `step` is stamped on the way where somebody traces the symbol.
        """
        symbol, interval = topic
        plausibility = self.plausibility
        arrived_ms = plausibility.arrival_ms(topic, now_ms)
        try:
            if interval:
                decoded = decode_kline(payload, symbol, interval, arrived_ms, plausibility.note)
                decoded = plausibility.dated(decoded, arrived_ms)
                update: Update = decoded
                state = decoded.kline if isinstance(decoded, KlineUpdate) else decoded
                event_time_ms = state.event_time_ms
            else:
                update = ticker = decode_ticker(payload, symbol, arrived_ms, plausibility.note)
                event_time_ms = plausibility.ticker_time_ms(ticker, arrived_ms)
            if step is not None:
                step.decoded(update)
            if not self._market.apply(update, now_ms):
                raise FeedError("missing_field", "c")
            if interval:
                self._kline_applied = True
                closed = state.closed if isinstance(state, Kline) else state.fields.get("closed")
                if closed and state.close_time_ms > self._closed_ms.get(interval, 0):
                    self._closed_ms[interval] = state.close_time_ms
            if step is not None:
                step.folded()
            return event_time_ms
        except FeedError as error:
            if step is not None:
                self.tracing.fail(step, error.reason)
            plausibility.refuse(topic, payload, error, now_ms)
            self.refusals.refused(symbol, interval, payload, error.reason)
            self.feed_state.message_refused(self.feed_state.last_message_s)
            return 0

    def _apply_traced(self, topic: Topic, payload: bytes, now_ms: int) -> int:
        return self._apply(topic, payload, now_ms, self.tracing.begin(topic))

    def _note_usable(self, now_s: float) -> None:
        # A ticker that repeats an old price and an old time has changed nothing: its collector is stuck.
        if self._market.prices_changed != self._prices_changed:
            self._prices_changed = self._market.prices_changed
            if not self._late_prices.held_up(self.plausibility.feed_clock() - self._market.last_price_ms, now_s):
                self.feed_state.price_usable(now_s)
            self.refusals.price_usable()
        if self._kline_applied:
            self._kline_applied = False
            self.refusals.kline_usable()
            if self._closed_ms:
                for interval, close_time_ms in self._closed_ms.items():
                    self.feed_state.kline_closed(now_s, length_s(interval), close_time_ms)
                self._closed_ms.clear()
            else:
                self.feed_state.kline_usable(now_s)

    def _observe_lag(self, waited_s: float) -> None:
        """Observe how long this flush's messages have been under way.

        The first message waited longest for the flush; the last one, where it has an event time of its own, stands for
        the way from the source.
        """
        self._counters.observe_stage(Stage.INGEST_TO_FLUSH, waited_s)
        if self._event_time_ms and has_event_time(self._last_payload):
            self._counters.observe_stage(Stage.FEED_TO_INGEST, (self._last_ms - self._event_time_ms) / 1000)

    def _affordable(self, applied: int, started_s: float) -> float:
        """How many messages could be applied one by one in a window, going by what those just applied took."""
        spent_s = self._thread_time_s() - started_s if applied else 0.0
        return self._share_s * SURGE_OVER * applied / spent_s if spent_s else math.inf
