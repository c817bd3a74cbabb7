"""What the feed's link brings, into the market; what becomes of the link, into the state that clients are told.

Runs without `await`: nobody ever sees half a step. Keeps no state but this tick's share of time and the surge's
payloads.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from gateway.delivery.dialect import FeedState
from gateway.feed.conflate import Conflator
from gateway.feed.decode import FeedError, decode_kline, decode_ticker, has_event_time
from gateway.model.kline import KlineUpdate
from gateway.ops.counters import Stage
from gateway.runtime.trace import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config
    from gateway.delivery.hub import Hub
    from gateway.delivery.session import Session
    from gateway.market.market import Market, Update
    from gateway.ops.counters import Counters
    from gateway.redis.contract import Topic
    from gateway.runtime.backfill import Backfill
    from gateway.runtime.clock import SteadyClock
    from gateway.runtime.trace import Step

SURGE_OVER = 0.7
"""Part of its share that a tick's messages must fit into before a surge counts as over."""

FUTURE_MS = 1000
"""How far the source's clock may be ahead of ours."""

PRICES_SPREAD_S = 1.0
"""Between the first price of a source that is back and that of its last symbol."""

PRICES_WAIT_S = 10.0
"""How long a source that is back may bring everything but prices until it is called live all the same."""

INGEST_SHARE = 0.3
"""Part of a tick that may go into folding messages in one by one."""


class Ingest:
    """The listener's sink. `end_tick` is the flush beat's call, before it takes the market's changes."""

    def __init__(
        self,
        config: Config,
        market: Market,
        hub: Hub[Session],
        backfill: Backfill,
        counters: Counters,
        clock_ms: SteadyClock,
    ) -> None:
        self._market = market
        self._hub = hub
        self._backfill = backfill
        self._counters = counters
        self._clock_ms = clock_ms
        self.configure(config)
        # When a tick's ingest takes more than its share, payloads are conflated before they are decoded, until a tick
        # brings what could have been folded in one by one with some room to spare.
        self._share_s = config.stream.tick_ms / 1000 * INGEST_SHARE
        self._messages = 0
        self._first_s = 0.0
        # Of the last message: its payload, when it arrived, and its event time (0 where it was refused).
        self._last_payload = b""
        self._arrived_ms = self._event_time_ms = 0
        self.spent_s = 0.0
        """What this tick's ingest has taken so far."""
        self._surge = Conflator()
        self.surging = False
        """Whether payloads are conflated before they are decoded."""
        self.last_message_s = 0.0
        """When the feed last said anything, on the monotonic clock."""
        # When it last told a price, 0 before the first. Since when it is back, and since when with new prices.
        self._priced_s = 0.0
        self._back_s = self._priced_back_s = math.inf
        self.tracing = Tracing()

    def configure(self, config: Config) -> None:
        """Take the settings that may change while the process runs."""
        self._stale_after_s = config.market.stale_after_s

    def ingest(self, batch: list[tuple[Topic, bytes]]) -> None:
        """Fold a batch in; past the tick's share of time only what must not be lost, and the newest of the rest."""
        # This thread's own time: neighbours on the machine must not look like a surge.
        started_s = time.thread_time()
        self.last_message_s = time.monotonic()
        now_ms = self._clock_ms()
        self._counters.messages_in += len(batch)
        if not self._messages:
            self._first_s = self.last_message_s
        self._last_payload, self._arrived_ms = batch[-1][1], now_ms
        fold: Callable[[Topic, bytes, int], int] = self._fold
        if self.tracing.traces:
            self.tracing.read()
            fold = self._fold_traced
        if self.surging:
            offer = self._surge.offer
            for topic, payload in batch:
                for urgent in offer(topic, payload):
                    self._event_time_ms = fold(topic, urgent, now_ms)
        else:
            event_time_ms = 0
            for topic, payload in batch:
                event_time_ms = fold(topic, payload, now_ms)
            self._event_time_ms = event_time_ms
        self._messages += len(batch)
        self.spent_s += time.thread_time() - started_s
        if self.spent_s > self._share_s:
            self.surging = True

    def _fold(self, topic: Topic, payload: bytes, now_ms: int, step: Step | None = None) -> int:
        """Decode a payload and merge it into the market; returns its event time, 0 where it was refused.

        `step` is stamped on the way where somebody traces the symbol.
        """
        symbol, interval = topic
        try:
            if interval:
                decoded = decode_kline(payload, symbol, interval, now_ms)
                update: Update = decoded
                state = decoded.kline if isinstance(decoded, KlineUpdate) else decoded
                event_time_ms = state.event_time_ms
                if self._clock_ms.ahead_ms:
                    self._clock_ms.witness(state.open_time_ms, state.close_time_ms)
            else:
                update = ticker = decode_ticker(payload, symbol, now_ms)
                event_time_ms = ticker.event_time_ms
            if step is not None:
                step.decoded(update)
            if not self._market.apply(update, now_ms):
                raise FeedError("missing_field", "c")
            if not interval:
                self._priced_s = self.last_message_s
            if step is not None:
                step.folded()
            return event_time_ms
        except FeedError as error:
            if step is not None:
                self.tracing.fail(step, error.reason)
            self._counters.count_feed_error(error.reason, f"{symbol} {interval}: {error}", self.last_message_s)
            return 0

    def _fold_traced(self, topic: Topic, payload: bytes, now_ms: int) -> int:
        """As `_fold`, while somebody traces a symbol, maybe this one."""
        return self._fold(topic, payload, now_ms, self.tracing.begin(topic))

    def begin_flush(self, now_ms: int) -> None:
        """At the tick: fold in what was kept, and see whether the surge is over."""
        flush_s = time.monotonic()
        kept = len(self._surge)
        started_s = time.thread_time() if kept else 0.0
        fold = self._fold_traced if self.tracing.traces else self._fold
        for topic, payload in self._surge.take():
            self._event_time_ms = fold(topic, payload, now_ms)
        self._observe_lag(flush_s)
        self._counters.conflated = self._surge.conflated
        if self.surging and self._messages <= self._affordable(kept, started_s):
            self.surging = False
        self._messages = 0
        self.spent_s = 0.0

    def _observe_lag(self, flush_s: float) -> None:
        """Observe how long this flush's messages have been under way.

        The first message waited longest for the flush; the last one, where it has an event time of its own, stands for
        the way from the source.
        """
        if not self._messages:
            return
        self._counters.observe_stage(Stage.INGEST_TO_FLUSH, flush_s - self._first_s)
        if self._event_time_ms and has_event_time(self._last_payload):
            self._counters.observe_stage(Stage.FEED_TO_INGEST, (self._arrived_ms - self._event_time_ms) / 1000)

    def _affordable(self, folded: int, started_s: float) -> float:
        """How many messages a tick could fold in one by one, going by what those just folded took."""
        if not folded:
            return math.inf
        each_s = (time.thread_time() - started_s) / folded
        return self._share_s * SURGE_OVER / each_s

    def connected(self) -> None:
        # Without a loss before it, another source has come or taken over, or there are new channels: clients see fresh
        # data all along, and what may have been missed is read beside it.
        if not self._hub.state.live:
            self._hub.set_state(FeedState("repair", self._hub.state.since_ms))
        self._backfill.start_all(self._repaired)

    def disconnected(self, reason: str) -> None:
        self._backfill.cancel()
        if self._hub.state.reason != "redis":
            self._hub.set_state(FeedState("redis", self._clock_ms()))
            self._counters.feed_disconnects += 1

    def _repaired(self) -> None:
        if self._hub.state.live:
            return
        # A new link is no news: prices are as old as the last word, or as the store says. Where neither is known, it
        # gets the benefit of the doubt. (Prices of the future only say that this machine's clock is wrong.)
        now_s = time.monotonic()
        stored_ms = max((ticker.event_time_ms for ticker in self._market.tickers()), default=0)
        age_ms = self._clock_ms() - stored_ms
        if stored_ms and age_ms > -FUTURE_MS:
            stored_s = now_s - max(0, age_ms) / 1000
            self.last_message_s = max(self.last_message_s, stored_s) if self.last_message_s else stored_s
            self._priced_s = max(self._priced_s, stored_s)
        elif not self.last_message_s:
            self.last_message_s = now_s
        self._back_s, self._priced_back_s = now_s, math.inf
        # Those that were stored have all been read.
        whole = not self._priced_s or self._has_prices(now_s)
        self._hub.set_state(FeedState() if whole else self._silent(now_s - self._priced_s))
        self.watch_silence(now_s)

    def watch_silence(self, now_s: float) -> None:
        """A link that brings nothing for long is as bad as none; say so, and say when it is over."""
        state = self._hub.state
        silent = now_s - self.last_message_s > self._stale_after_s
        if state.live and silent:
            self._hub.set_state(self._silent(now_s - self.last_message_s))
            self._back_s = self._priced_back_s = math.inf
        elif state.reason == "silent" and not silent:
            self._back_s = min(self._back_s, now_s)
            if self._has_prices(now_s):
                self._priced_back_s = min(self._priced_back_s, now_s)
            spread_s = min(PRICES_SPREAD_S, self._stale_after_s / 2)
            whole = not self._priced_s or now_s - self._priced_back_s >= spread_s
            # As on a line that is slow, prices may come last; but it may also have given them up.
            if whole or now_s - self._back_s > PRICES_WAIT_S:
                self._hub.set_state(FeedState())

    def _silent(self, for_s: float) -> FeedState:
        return FeedState("silent", self._clock_ms() - round(for_s * 1000))

    def _has_prices(self, now_s: float) -> bool:
        return now_s - self._priced_s <= self._stale_after_s
